"""The weights of the package, on a drawn patient that they never saw."""

import numpy as np
import pytest

from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume
from vfseg.errors import UserError
from vfseg.localisation.coarse import KEPT_MM
from vfseg.localisation.find import find_vertebrae
from vfseg.localisation.heat import coarsened
from vfseg.localisation.synthetic import draw_case
from vfseg.localisation.weights import SHIPPED, read_weights


@pytest.fixture(scope="module")
def params():
    return read_weights()


def volume(hu):
    affine = np.diag([KEPT_MM, KEPT_MM, KEPT_MM, 1.0])
    geometry = geometry_from(hu.shape[::-1], affine)
    return Volume(geometry.to_canonical(hu.transpose(2, 1, 0)), geometry)


def test_the_lower_spine_of_a_drawn_patient_is_found_and_named(params):
    case = draw_case(np.random.SeedSequence((99, 1)), "unseen")
    top, bottom = case.points["T11"][0] + 6, case.points["S1"][0] - 30
    hu = case.hu[round(bottom) : round(top), :64, 24:-24]
    found = find_vertebrae(coarsened(volume(hu)), params, "unseen", lowest="L5")
    wanted = {v.level: v.place[::-1] for v in found.wanted}
    for level in ("T12", "L1", "L2", "L3", "L4", "L5"):
        true = (case.points[level] - [round(bottom), 0, 24]) * KEPT_MM
        assert np.linalg.norm(np.array(wanted[level]) - true) < 10, level


def test_noise_is_no_spine(params):
    hu = np.random.default_rng(0).normal(40, 60, (64, 32, 32)).astype(np.int16)
    with pytest.raises(UserError, match="no spine"):
        find_vertebrae(coarsened(volume(hu)), params, "noise")


def test_a_cylinder_of_water_is_no_spine(params):
    h, w = np.ogrid[-16:16, -16:16]
    plane = np.where(np.hypot(h, w) < 14, 0, -1000)
    hu = np.broadcast_to(plane, (64, 32, 32)).astype(np.int16)
    with pytest.raises(UserError, match="no spine"):
        find_vertebrae(coarsened(volume(hu)), params, "water")


def test_the_weights_are_small():
    assert SHIPPED.stat().st_size < 15e6
