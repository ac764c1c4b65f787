"""Slice predictions of crops: each slice is encoded once, windows are cut from features."""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vfseg.crops.intensity import to_channels
from vfseg.data.dicom_slice import PADDING_HU
from vfseg.inference.views import View, Views
from vfseg.models.slice_network import SliceNetwork
from vfseg.processes import cores

#: Crops that are predicted together, by backend. A CPU gains nothing from more than the 50 slices
#: of one crop (`benchmarks/inference.py`); 14 levels fill two batches of an accelerator.
CROPS_AT_ONCE = {"cpu": 1, "other": 7}
#: Batches of crops that a CPU predicts side by side, at most: XLA runs most convolutions on one
#: core, and each needs memory of its own.
BATCHES_SIDE_BY_SIDE = 4

SliceFunction = Callable[[Any, jax.Array], jax.Array]
"""Maps parameters and runs of slices `b k h w`, HU, to the probabilities `b k h w`, float32."""


def slice_function(
    generator: SliceNetwork,
    hu_windows: Sequence[tuple[float, float]],
    *,
    window: int,
    stride: int,
) -> SliceFunction:
    """The function that a prediction compiles.

    Args:
        generator: the network; maps runs `b r h w c` and a stride to logits `b k h w`.
        hu_windows: `(low, high)` in HU, one a channel.
        window: slices of a window, T.
        stride: distance between the slices of a window, in slices of the crop.
    """
    reach = window // 2 * stride

    def predict(g_params: Any, runs: jax.Array) -> jax.Array:
        runs = jnp.pad(runs, ((0, 0), (reach, reach), (0, 0), (0, 0)), mode="edge")
        channels = to_channels(runs, hu_windows)
        logits: Any = generator.apply({"params": g_params}, channels, stride)
        return nn.sigmoid(logits)

    return predict


class Predictor:
    """Predicts every view of every crop.

    The whole crop is one run of slices, its edges repeated; the network encodes each slice once and
    predicts all windows of the run in one call. Crops go through it in batches of fixed size, the
    last one filled up with air, and slices are turned on the host: one compilation serves any
    number of crops and cases, and with cubic crops any plane.

    Attributes:
        views: what is predicted of each crop.
        crops_at_once: size of the batches.
    """

    def __init__(self, predict: SliceFunction, views: Views):
        """Compiles nothing yet.

        Args:
            predict: of the network, see `slice_function`.
            views: what is predicted of each crop.
        """

        def back(slices: Sequence[jax.Array]) -> list[jax.Array]:
            return [views.back(of_crop) for of_crop in zip(*slices)]

        backend = jax.default_backend()
        self.views = views
        self.crops_at_once = CROPS_AT_ONCE.get(backend, CROPS_AT_ONCE["other"])
        self._workers = min(cores(), BATCHES_SIDE_BY_SIDE) if backend == "cpu" else 1
        self._predict, self._back = jax.jit(predict), jax.jit(back)
        self._programs: dict[tuple, jax.stages.Compiled] = {}
        self._compiling = threading.Lock()

    @property
    def crops_side_by_side(self) -> int:
        """How many are in the network at a time."""
        return self._workers * self.crops_at_once

    def operations(self, g_params: Any, crop_shape: tuple[int, int, int]) -> float:
        """Floating point operations of one view of one crop `d h w`; nothing is compiled."""
        cost = self.lower(g_params, crop_shape).cost_analysis()
        return float((cost or {}).get("flops", 0.0)) / self.crops_at_once

    def lower(self, g_params: Any, crop_shape: tuple[int, int, int]) -> jax.stages.Lowered:
        """The program of one view of `crops_at_once` crops `d h w`, to look into."""
        view = next(iter(self.views))
        runs = view.look(np.zeros(crop_shape, np.int16))[None].repeat(self.crops_at_once, 0)
        return self._predict.lower(g_params, runs)

    def slices(self, g_params: Any, crops: np.ndarray) -> np.ndarray:
        """Unfused predictions of the target slices of all crops.

        Args:
            g_params: parameters of the generator.
            crops: int16 HU `n d h w`.

        Returns:
            Probabilities float32 `n v d h w`, views in canonical order.
        """
        return np.stack([np.asarray(answers) for answers in self.stream([g_params], crops)])

    def stream(
        self,
        members: Sequence[Any],
        crops: np.ndarray,
        *,
        done: Callable[[int], Any] = lambda predictions: None,
    ) -> Iterator[jax.Array]:
        """The same, crop by crop, on the device, of which a few batches are there.

        Args:
            members: parameters of the generator, of each model of an ensemble, or of the one.
            crops: as in `slices`.
            done: told how many predictions of crops each batch has added.

        Yields:
            Probabilities `m*v d h w`: all views by the first member, by the second, ...
        """
        params, views = jax.device_put(list(members)), len(members) * len(self.views)
        firsts = iter(range(0, len(crops), self.crops_at_once))
        with ThreadPoolExecutor(self._workers) as pool:

            def begin(first: int) -> Future[list[jax.Array]]:
                return pool.submit(self._batch, params, crops[first : first + self.crops_at_once])

            begun = deque(map(begin, itertools.islice(firsts, self._workers)))
            while begun:
                answers = begun.popleft().result()
                begun.extend(map(begin, itertools.islice(firsts, 1)))
                done(len(answers) * views)
                yield from answers

    def _batch(self, members: Sequence[Any], crops: np.ndarray) -> list[jax.Array]:
        """All predictions `m*v d h w` of each of up to `crops_at_once` crops."""
        answers = []
        for params in members:
            slices = [
                self._run(self._predict, params, self._seen(view, crops)) for view in self.views
            ]
            answers.append(self._run(self._back, slices)[: len(crops)])
        return answers[0] if len(members) == 1 else [*map(jnp.concatenate, zip(*answers))]

    def _seen(self, view: View, crops: np.ndarray) -> np.ndarray:
        """Runs of slices of a view of crops, filled up with air to `crops_at_once`."""
        runs = [view.look(crop) for crop in crops]
        air = [np.full_like(runs[0], PADDING_HU)] * (self.crops_at_once - len(runs))
        return np.stack(runs + air)

    def _run(self, function: Any, *arguments: Any) -> Any:
        """A function on arguments; one thread compiles what the others then run too."""
        shapes = tuple(x.shape for x in jax.tree.leaves(arguments[-1]))
        with self._compiling:
            if (function, shapes) not in self._programs:
                self._programs[function, shapes] = function.lower(*arguments).compile()
        return self._programs[function, shapes](*arguments)
