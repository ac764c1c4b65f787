"""Metal and its streaks."""

import numpy as np
from scipy import ndimage

from tests.synthesis.made import make_case
from tests.synthesis.phantom.measuring import THREE, local_frame
from vfseg.synthesis.phantom import FractureSpec


def test_metal_is_bright_streaks_stay_in_its_slices_and_nothing_else_changes():
    settings = {**THREE, "voxel_spacing": 1.0, "noise_sd": (0, 0), "transitional_probability": 0}
    spec = {"L2": FractureSpec("crush", 0.2)}
    plain = make_case(4, {**settings, "hardware_probability": 0.0}, spec)
    case = make_case(4, {**settings, "hardware_probability": 1.0}, spec)
    assert plain.hardware == ()
    assert case.hardware == ("L1", "L3")  # the fracture is spanned
    np.testing.assert_array_equal(case.vertebrae.array, plain.vertebrae.array)
    np.testing.assert_array_equal(case.fractures.array, plain.fractures.array)
    difference = case.ct.array.astype(int) - plain.ct.array
    metal = case.ct.array > 2200
    for fact in case.facts:
        body = local_frame(case, fact)
        near = (np.abs(body[0]) < 8) & (body[1] > -5) & (body[1] < 4) & (np.abs(body[2]) < 15)
        assert metal[near].any() == (fact.level in case.hardware)
    # The kernel reaches three voxels further than the metal itself.
    slices = ndimage.binary_dilation(metal.any((1, 2)), iterations=4)
    assert not difference[~slices].any()
    away = ndimage.distance_transform_edt(~metal) > 8
    streaks = difference[away & slices[:, None, None]]
    assert 10 < streaks.std() < 150
    assert streaks.min() < -60
    assert streaks.max() > 60
