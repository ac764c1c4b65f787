"""Plain windows answer what the package answers when it encodes every slice once."""

import jax
import numpy as np

from benchmarks.configs import QUICKSTART, read_config
from benchmarks.plain_windows import PlainWindows
from benchmarks.twin_training import restless_state
from vfseg.config.model import make_predictor


def test_windows_of_every_second_slice_get_the_answers_of_shared_encoding():
    """Slices lie 1.25 mm apart, those of a window 2.5 mm."""
    changes = {"windows.stride_mm": 2.5, "prepare.crop_shape": (16, 16, 16)}
    config = read_config(QUICKSTART, "tiny", changes)
    params = jax.device_put(restless_state(config, for_gradients=False).g_params)
    crop = np.random.default_rng(0).integers(-200, 1500, (16, 16, 16), np.int16)
    once = make_predictor(config).slices(params, crop[None])[0, 0]  # sagittal: along the last axis
    assert np.ptp(once) > 0.01
    plain = PlainWindows(config, params)(np.moveaxis(crop, 2, 0))
    np.testing.assert_allclose(np.moveaxis(plain, 0, 2), once, atol=1e-5)
