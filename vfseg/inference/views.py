"""Views of a crop: its planes, each also mirrored or moved a little (test-time augmentation).

A view is predicted like any crop and its answer is brought back to where the voxels were, so that
all views of a crop lie on one grid and can be fused. Their spread is a measure of uncertainty.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from vfseg.data.box import triple
from vfseg.data.settings import PLANE_AXES

Volume = TypeVar("Volume", np.ndarray, Array)

_RIGHT = 2  # axis of `d h w` that a left-right flip turns round


class View(NamedTuple):
    """One way to look at a crop.

    Attributes:
        axis: of `d h w`, along which the slices of the plane follow each other.
        flipped: left and right are exchanged before the prediction.
        shift: voxels by which the content is moved along each axis; 0 along `axis`.
    """

    axis: int
    flipped: bool
    shift: tuple[int, int, int]

    def look(self, crop: Volume) -> Volume:
        """Slices `n a b` of the view of a crop `d h w`; a shift repeats the edge."""
        if self.flipped:
            crop = crop[..., ::-1]
        for axis, shift in enumerate(self.shift):
            if shift:
                size = crop.shape[axis]
                crop = crop.take(np.clip(np.arange(size) - shift, 0, size - 1), axis)
        return crop.transpose(self.axis, *sorted({0, 1, 2} - {self.axis}))

    def back(self, slices: Array, unmoved: Array | None) -> Array:
        """Brings the answer to a view back onto the crop, on the device.

        Args:
            slices: `n a b`, one a slice of the view.
            unmoved: answer `d h w` of the same view without the shift; it stands in where a shift
                moved voxels out of the crop, a margin of as many voxels. None if nothing is moved.

        Returns:
            The answer `d h w`.
        """
        answer = jnp.moveaxis(slices, 0, self.axis)
        if self.flipped:
            answer = jnp.flip(answer, _RIGHT)
        if unmoved is None:
            return answer
        # Flipped content moves the other way in the crop.
        moved = [-n if self.flipped and axis == _RIGHT else n for axis, n in enumerate(self.shift)]
        source = tuple(slice(max(n, 0), size + min(n, 0)) for n, size in zip(moved, answer.shape))
        target = tuple(slice(max(-n, 0), size + min(-n, 0)) for n, size in zip(moved, answer.shape))
        return jnp.asarray(unmoved).at[target].set(answer[source])


@dataclasses.dataclass(frozen=True)
class Views:
    """Which views of a crop are predicted.

    Attributes:
        planes: of axial, coronal and sagittal; their order does not matter.
        flips: also with left and right exchanged.
        shifts: also moved by so many voxels to either side along both axes of a slice; 0 is off.
    """

    planes: tuple[str, ...]
    flips: bool = False
    shifts: int = 0

    def __iter__(self) -> Iterator[View]:
        """The views in canonical order; the one without a shift comes before those with it."""
        for axis in sorted(PLANE_AXES[plane] for plane in self.planes):
            for flipped in (False, True)[: 1 + self.flips]:
                yield View(axis, flipped, (0, 0, 0))
                for along in sorted({0, 1, 2} - {axis}) if self.shifts else ():
                    for sign in (-1, 1):
                        shift = [0, 0, 0]
                        shift[along] = sign * self.shifts
                        yield View(axis, flipped, triple(shift))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def back(self, slices: Sequence[Array]) -> Array:
        """Brings the answers to all views of a crop back onto it.

        Args:
            slices: `n a b` of each view.

        Returns:
            The answers `v d h w`.
        """
        answers: list[Array] = []
        plain = 0
        for number, (view, answer) in enumerate(zip(self, slices, strict=True)):
            moved = any(view.shift)
            plain = plain if moved else number
            answers.append(view.back(answer, answers[plain] if moved else None))
        return jnp.stack(answers)
