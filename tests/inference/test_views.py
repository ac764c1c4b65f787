"""Views of a crop: which there are, where they look, and that their answers come back in place."""

import numpy as np
import pytest

from vfseg.data.settings import PLANE_AXES
from vfseg.inference.views import View, Views

CROP = np.arange(4 * 5 * 6).reshape(4, 5, 6)


def test_the_views_of_planes_flips_and_shifts():
    assert list(Views(("sagittal",))) == [View(2, False, (0, 0, 0))]
    several = list(Views(("sagittal", "axial"), flips=True, shifts=2))
    assert len(several) == len(Views(("sagittal", "axial"), flips=True, shifts=2)) == 2 * 2 * 5
    assert len(set(several)) == len(several)
    assert all(view.shift[view.axis] == 0 for view in several), "a shift stays in the slice"
    assert {abs(n) for view in several for n in view.shift} == {0, 2}


def test_the_order_of_the_planes_does_not_matter():
    assert list(Views(("sagittal", "axial"))) == list(Views(("axial", "sagittal")))


def test_the_plain_view_comes_before_the_shifted_ones():
    """`Predictor.stream` takes it for what a shift moves out of the crop."""
    plain = None
    for view in Views(tuple(PLANE_AXES), flips=True, shifts=1):
        if not any(view.shift):
            plain = view
        assert (plain.axis, plain.flipped) == (view.axis, view.flipped)


def test_a_flip_exchanges_left_and_right_and_nothing_else():
    view = View(0, True, (0, 0, 0))
    np.testing.assert_array_equal(view.look(CROP), CROP[:, :, ::-1])


def test_a_shift_moves_the_content_and_repeats_the_edge():
    moved = View(0, False, (0, 2, 0)).look(CROP)
    np.testing.assert_array_equal(moved[:, 2:], CROP[:, :-2])
    np.testing.assert_array_equal(moved[:, 0], CROP[:, 0])
    np.testing.assert_array_equal(moved[:, 1], CROP[:, 0])
    moved = View(0, False, (0, 0, -1)).look(CROP)
    np.testing.assert_array_equal(moved[..., :-1], CROP[..., 1:])
    np.testing.assert_array_equal(moved[..., -1], CROP[..., -1])


@pytest.mark.parametrize("plane", PLANE_AXES)
@pytest.mark.parametrize("flips", [False, True])
def test_an_identity_predictor_returns_the_crop_from_every_view(plane, flips):
    for view in Views((plane,), flips, shifts=2):
        slices = view.look(CROP)
        assert slices.shape[0] == CROP.shape[view.axis]
        back = view.back(slices, CROP if any(view.shift) else None)
        np.testing.assert_array_equal(back, CROP)


def test_what_a_shift_moves_out_of_the_crop_is_answered_without_it():
    """The content moves by two along h; its last two rows are gone."""
    unmoved = -np.ones_like(CROP)
    view = View(0, False, (0, 2, 0))
    back = view.back(view.look(CROP), unmoved)
    np.testing.assert_array_equal(back[:, :-2], CROP[:, :-2])
    np.testing.assert_array_equal(back[:, -2:], unmoved[:, -2:])


def test_a_flipped_shift_to_the_right_loses_the_left_edge():
    """Flipped, the content moves two voxels along w; seen from the crop that is the other way."""
    unmoved = -np.ones_like(CROP)
    view = View(0, True, (0, 0, 2))
    back = view.back(view.look(CROP), unmoved)
    np.testing.assert_array_equal(back[..., 2:], CROP[..., 2:])
    np.testing.assert_array_equal(back[..., :2], unmoved[..., :2])
