"""The healthy spine: sizes, wedging, bone density."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.synthesis.phantom.measuring import heights
from vfseg.synthesis.phantom.spine import Size, draw_patient, turned_axes


def test_normal_wedging_is_there_and_not_labelled(healthy):
    assert not healthy.fractures.array.any()
    facts = {fact.level: fact for fact in healthy.facts}
    measured = {level: heights(healthy, fact) for level, fact in facts.items()}
    assert facts["T12"].size.wedge > 0 > facts["L5"].size.wedge
    assert measured["L5"]["front"] > measured["L5"]["back"] + 1.5
    for level, fact in facts.items():
        # The rims differ by depth * tan(wedge), the sites by 0.7 of it; the hollow lies behind.
        difference = 0.7 * fact.size.depth * np.tan(np.radians(fact.size.wedge))
        got = measured[level]["back"] - measured[level]["front"]
        hollow = sum(fact.size.concavity) * ((0.7 + 0.1) ** 2 - (0.7 - 0.1) ** 2)
        assert got == pytest.approx(difference - hollow, abs=1.5)


def test_sizes_are_those_of_the_anatomy(healthy):
    spacing = healthy.ct.voxel_spacing
    volumes = {
        fact.level: np.count_nonzero(healthy.vertebrae.array == fact.label) * spacing.prod() / 1000
        for fact in healthy.facts
    }
    assert 25 < volumes["T12"] < volumes["L3"] < 85  # mL, whole vertebra
    for upper, lower in zip(healthy.facts, healthy.facts[1:]):
        assert 22 < np.linalg.norm(upper.frame.centre - lower.frame.centre) < 46


def test_contrast_brightens_the_aorta_and_a_little_the_bone():
    rng = np.random.default_rng(3)
    patients = [draw_patient(rng, 0) for _ in range(400)]
    share = np.mean([p.contrast > 0 for p in patients])
    assert 0.2 < share < 0.5
    plain, bright = ([p for p in patients if (p.contrast > 0) == phase] for phase in (False, True))
    assert min(p.contrast for p in bright) > 100
    # Bone at the lower end of its range shows the gain alone: 35 HU, or 35 and 15 to 20.
    assert min(p.trabecular for p in plain) >= 35
    assert min(p.trabecular for p in bright) >= 50
    assert max(p.trabecular for p in bright) <= 280 + 20


def test_facts_describe_the_intact_vertebra(healthy):
    for fact in healthy.facts:
        assert isinstance(fact.size, Size)
        np.testing.assert_allclose(fact.frame.axes @ fact.frame.axes.T, np.eye(3), atol=1e-9)
        assert fact.frame.axes[0][0] > 0.7  # the body's axis points up
        assert dataclasses.asdict(fact.size)["height"] > 15


def test_axes_are_a_rotation_that_leans_back_right_and_turns():
    for angles in itertools.product((-20, 0, 35), repeat=3):
        axes = turned_axes(*angles)
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(axes) == pytest.approx(1)
        pitch, roll, yaw = angles
        slow = Rotation.from_euler("XYZ", (-yaw, roll, pitch), degrees=True).as_matrix()
        np.testing.assert_allclose(axes, slow, atol=1e-12)
    sin, cos = np.sin(np.radians(20)), np.cos(np.radians(20))
    np.testing.assert_allclose(turned_axes(20, 0, 0)[0], (cos, -sin, 0), atol=1e-12)
    np.testing.assert_allclose(turned_axes(0, 20, 0)[0], (cos, 0, sin), atol=1e-12)
    np.testing.assert_allclose(turned_axes(0, 0, 20)[1], (0, cos, sin), atol=1e-12)
