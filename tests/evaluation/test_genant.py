from dataclasses import replace

import numpy as np
import pytest

from vfseg.data.grades import GENANT_LOSSES, genant_grade
from vfseg.data.schemes import LEVELS
from vfseg.evaluation.genant import SPREAD, USUAL_MM, WEDGE_DEGREES, height_losses
from vfseg.evaluation.heights import SITE_DEPTHS, MeasuredBody, Unmeasured

# Wedging in degrees of women and men at T9, T11, L1 and L5: PMC2899959, table 1.
PUBLISHED_WEDGE = {"T9": (2.8, 4.8), "T11": (4.6, 5.4), "L1": (2.6, 4.1), "L5": (-7.8, -4.6)}
DEPTH = 30.0


def healthy(level, posterior=None, *, depth=DEPTH, uncertainty=0.4):
    """A body with the usual posterior height and wedging of its level, and no hollow."""
    back = USUAL_MM[level] if posterior is None else posterior
    slope = np.tan(np.radians(WEDGE_DEGREES[level]))
    ahead = np.array([SITE_DEPTHS[2] - share for share in SITE_DEPTHS]) * depth
    nothing = np.zeros(1)
    return MeasuredBody(
        level=level,
        centre=np.zeros(3),
        axes=np.eye(3),
        heights=back - slope * ahead,
        uncertainty=np.full(3, uncertainty),
        depth=depth,
        width=40.0,
        front=nothing,
        top=nothing,
        bottom=nothing,
    )


def lowered(body, *shares):
    return replace(body, heights=body.heights * (1 - np.array(shares)))


def test_the_wedging_is_the_published_one():
    for level, both in PUBLISHED_WEDGE.items():
        assert WEDGE_DEGREES[level] == pytest.approx(np.mean(both))


def test_a_healthy_spine_of_any_size_has_lost_nothing():
    for scale in (0.85, 1.2):
        spine = [healthy(level, scale * USUAL_MM[level], depth=scale * DEPTH) for level in LEVELS]
        for loss in height_losses(spine).values():
            np.testing.assert_allclose(loss.loss, 0, atol=1e-12)
            assert (loss.grade, loss.shape) == (0, "")


def test_normal_wedging_is_not_taken_for_a_fracture():
    """A body as square as its neighbours has lost height where a healthy one leans to the back."""
    spine = [healthy(level) for level in LEVELS]
    square = replace(spine[-1], heights=np.full(3, spine[-1].heights[2]))
    loss = height_losses([*spine[:-1], square])["L5"].loss
    lead = np.tan(np.radians(6.2)) * 0.7 * DEPTH  # by which L5 is higher in front
    assert loss[0] == pytest.approx(lead / (22.9 + lead), abs=1e-3)
    assert loss[2] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("shares", "grade", "shape"),
    [
        ((0.22, 0.1, 0), 1, "wedge"),
        ((0.33, 0.3, 0.05), 2, "wedge"),
        ((0.1, 0.3, 0.1), 2, "biconcave"),
        ((0.45, 0.45, 0.41), 3, "crush"),
        ((0.1, 0.1, 0.1), 0, ""),
    ],
)
def test_losses_give_grade_and_shape(shares, grade, shape):
    spine = [healthy(level) for level in ("T11", "T12", "L1", "L2", "L3")]
    spine[2] = lowered(spine[2], *shares)
    loss = height_losses(spine)["L1"]
    np.testing.assert_allclose(loss.loss, shares, atol=1e-12)
    assert (loss.grade, loss.shape, loss.references) == (grade, shape, ("T12", "L2"))


def test_broken_neighbours_are_passed_over():
    spine = [healthy(level) for level in ("T10", "T11", "T12", "L1", "L2", "L3")]
    for index, share in ((1, 0.3), (2, 0.45), (3, 0.25)):
        spine[index] = lowered(spine[index], share, share, share)
    losses = height_losses(spine)
    assert losses["T12"].references == ("T10", "L2")
    assert [losses[level].grade for level in ("T10", "T11", "T12", "L1", "L2")] == [0, 2, 3, 2, 0]


def test_unmeasured_neighbours_are_passed_over():
    spine = [healthy("T12"), Unmeasured("L1", "cut"), lowered(healthy("L2"), 0.5, 0.4, 0)]
    losses = height_losses(spine)
    assert list(losses) == ["T12", "L2"]
    assert losses["L2"].references == ("T12",)
    assert losses["L2"].grade == 3
    assert height_losses([Unmeasured("L1", "cut")]) == {}


def test_a_body_alone_is_compared_with_its_own_back():
    alone = lowered(healthy("L3"), 0.3, 0.2, 0)
    loss = height_losses([alone])["L3"]
    assert loss.references == ()
    assert loss.loss[0] == pytest.approx(0.3)
    assert np.isnan(loss.loss[2])
    assert (loss.grade, loss.shape) == (2, "wedge")


def test_the_interval_is_that_of_independent_errors():
    spine = [healthy(level, 24, uncertainty=0.6) for level in ("L1", "L2", "L3")]
    spine = [replace(body, heights=np.full(3, 24.0)) for body in spine]
    spine[1] = replace(spine[1], heights=np.array([24.0, 16.8, 24.0]))
    loss = height_losses(spine)["L2"]
    # d(1 - h / e) with e the mean of two neighbours: sigma_h / e and h / e * sigma_e / e.
    scales = [USUAL_MM["L2"] / USUAL_MM[n] for n in ("L1", "L3")]
    expected = loss.expected[1]
    error = 0.6 * np.hypot(*scales) / 2
    sigma = np.sqrt(
        (0.6 / expected) ** 2 + (16.8 * error / expected**2) ** 2 + SPREAD**2
    )  # fmt: skip
    assert loss.uncertainty[1] == pytest.approx(sigma)
    value = 1 - 16.8 / expected
    np.testing.assert_allclose(loss.interval, (value - 1.96 * sigma, value + 1.96 * sigma))
    assert loss.margin == pytest.approx(min(abs(value - cut) for cut in GENANT_LOSSES) / sigma)
    assert loss.grade_interval == tuple(genant_grade(end) for end in loss.interval)
