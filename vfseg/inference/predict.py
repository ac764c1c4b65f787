"""From the crops of a case to its fused map, and back onto the grid of the CT."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vfseg.data.geometry import Geometry
from vfseg.data.intensity import to_channels
from vfseg.data.prepare import PLANES
from vfseg.data.resample import sample_linear, sample_nearest
from vfseg.data.windows import WindowSettings
from vfseg.inference.fusion import Fused, fuse_boxes, fuse_slices
from vfseg.models.generator import Generator

FUSIONS = ("mean", "vote")
_GRID_MULTIPLE = 32
_BOXES_MULTIPLE = 8


class Predictor:
    """Slice predictions of crops: each slice is encoded once, windows are cut from features.

    The whole crop is one run of slices, its edges repeated; the generator predicts all its windows
    in one call. Crops have one shape, so there is one compilation for any number of cases.
    """

    def __init__(
        self,
        generator: Generator,
        windows: WindowSettings,
        hu_windows: Sequence[tuple[float, float]],
        voxel_spacing: float,
    ):
        """Compiles nothing yet.

        Args:
          generator: the network.
          windows: plane, length and stride that it was trained on.
          hu_windows: `(low, high)` in HU, one a channel.
          voxel_spacing: of the crops, mm.
        """
        stride = windows.stride(voxel_spacing)
        reach = windows.length // 2 * stride
        axis = PLANES[windows.plane]

        def predict(g_params: Any, crop: jax.Array) -> jax.Array:
            run = jnp.moveaxis(crop, axis, 0)  # d h w -> slices a b
            run = jnp.pad(run, ((reach, reach), (0, 0), (0, 0)), mode="edge")
            channels = to_channels(run, hu_windows)[None]
            logits = generator.apply({"params": g_params}, channels, stride)
            return jnp.moveaxis(nn.sigmoid(logits[0]), 0, axis)

        self._axis = axis
        self._predict = jax.jit(predict)

    def slices(self, g_params: Any, crops: np.ndarray) -> np.ndarray:
        """Unfused predictions of the target slices.

        Args:
          g_params: parameters of the generator.
          crops: int16 HU `n d h w`.

        Returns:
          Probabilities float32 `n d h w`, stacked slice by slice along the plane's axis.
        """
        params = jax.device_put(g_params)
        return np.stack([np.asarray(self._predict(params, crop)) for crop in crops])

    def fuse(
        self,
        predictions: np.ndarray,
        starts: Sequence[tuple[int, int, int]],
        slice_threshold: float,
    ) -> "CaseMap":
        """Fuses the slices of each crop, then the overlapping crops of the case.

        Args:
          predictions: as from `slices`.
          starts: first voxel of each crop in the case grid.
          slice_threshold: probability from which a slice prediction votes.
        """
        stacks = [self._fuse_crop(crop, slice_threshold) for crop in predictions]
        count = -len(stacks) % _BOXES_MULTIPLE
        boxes = jax.tree.map(lambda *x: jnp.stack([*x, *[jnp.zeros_like(x[0])] * count]), *stacks)
        corner = np.asarray(starts)
        origin = corner.min(axis=0)
        extent = (corner - origin).max(axis=0) + predictions.shape[1:]
        # Rounded up, so that one compilation serves many cases.
        d, h, w = -(-extent // _GRID_MULTIPLE) * _GRID_MULTIPLE
        places = np.zeros((len(stacks) + count, 3), np.int32)
        places[: len(stacks)] = corner - origin
        fused = fuse_boxes(boxes, places, (int(d), int(h), int(w)))
        return CaseMap(tuple(origin), jax.tree.map(np.asarray, fused))

    def _fuse_crop(self, crop: np.ndarray, slice_threshold: float) -> Fused:
        slices = jnp.moveaxis(crop, self._axis, 0)[:, None]  # n 1 a b
        number = slices.shape[0]
        fused = fuse_slices(slices, np.arange(number), number, threshold=slice_threshold)
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, self._axis), fused)


@dataclasses.dataclass(frozen=True)
class CaseMap:
    """Fused predictions on the case grid.

    Attributes:
      origin: case-grid index of the first voxel.
      fused: sums, votes and counts, `d h w`; count 0 outside every crop.
    """

    origin: tuple[int, int, int]
    fused: Fused

    def on_ct(
        self, geometry: Geometry, voxel_spacing: float, fusion: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """The map on the CT's own grid.

        Sums and counts are interpolated apart and divided afterwards, so that the edge of a crop
        does not fade; a voxel belongs to the crops where the nearest case-grid voxel does.

        Args:
          geometry: of the CT.
          voxel_spacing: of the case grid, mm.
          fusion: "mean" or "vote".

        Returns:
          Probability float32 `d h w`, 0 outside every crop, and the region of the crops, bool.
        """
        step = geometry.voxel_spacing / voxel_spacing
        covered_box = self._box(geometry, step)
        first = np.array([part.start for part in covered_box])
        shape = tuple(part.stop - part.start for part in covered_box)
        at = first * step - np.asarray(self.origin), step, shape
        total = self.fused.score_sum if fusion == "mean" else self.fused.votes
        count = sample_linear(self.fused.count, *at, fill=0.0)
        inside = sample_nearest((self.fused.count > 0).astype(np.uint8), *at).astype(bool)
        share = sample_linear(total, *at, fill=0.0) / np.maximum(count, 1e-6)
        probability = np.zeros(geometry.shape, np.float32)
        probability[covered_box] = np.where(inside, np.clip(share, 0, 1), 0)
        region = np.zeros(geometry.shape, bool)
        region[covered_box] = inside
        return probability, region

    def _box(self, geometry: Geometry, step: np.ndarray) -> tuple[slice, ...]:
        """CT voxels within reach of the case-grid volume."""
        origin, shape = np.asarray(self.origin), np.asarray(self.fused.count.shape)
        first = np.clip(np.floor((origin - 1) / step), 0, geometry.shape).astype(int)
        last = np.clip(np.ceil((origin + shape) / step) + 1, first + 1, None).astype(int)
        last = np.minimum(last, geometry.shape)
        first = np.minimum(first, last - 1)
        return tuple(slice(int(a), int(b)) for a, b in zip(first, last))
