"""Prediction by plain windows, in which every window encodes each of its slices anew."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vfseg.config.config import Config
from vfseg.config.recipe import make_generator
from vfseg.crops.intensity import to_channels


class PlainWindows:
    """The package's network on every window of a crop by itself, one crop per call."""

    def __init__(self, config: Config, g_params: Any):
        """Compiles nothing yet."""
        generator, settings = make_generator(config), config.windows
        self._params = jax.device_put(g_params)
        stride = settings.stride(config.prepare.voxel_spacing)
        offsets = (np.arange(settings.length) - settings.length // 2) * stride

        def predict(params: Any, slices: jax.Array) -> jax.Array:
            count = len(slices)
            index = np.clip(np.arange(count)[:, None] + offsets, 0, count - 1)  # window slice
            channels = to_channels(slices[index], config.hu_windows)
            logits: Any = generator.apply({"params": params}, channels)
            return jax.nn.sigmoid(logits[:, 0])

        self._predict = jax.jit(predict)

    def __call__(self, slices: np.ndarray) -> np.ndarray:
        """Probabilities `n h w` of slices `n h w`, int16 HU; edges repeated."""
        return np.asarray(self._predict(self._params, jnp.asarray(slices)))

    def compiled(self, slices: np.ndarray) -> jax.stages.Compiled:
        """The program, to look into."""
        return self._predict.lower(self._params, slices).compile()
