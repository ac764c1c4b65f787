import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from vfseg.evaluation.curve_points import pr_points, roc_points


def scored(size, bins, seed=0):
    """Truth and scores of units, and their counts "2 bins"."""
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < 0.3
    score = (rng.normal(truth, 1.0).clip(-3, 4) * bins / 8 + bins * 3 / 8).astype(int)
    counts = np.zeros((2, bins + 1), int)
    np.add.at(counts, (truth.astype(int), score), 1)
    return truth, score, counts


def on_curve(points, x, y):
    """Whether every point is one of a curve's corners."""
    corners = np.stack([x, y], axis=1)
    return all(np.abs(corners - point).sum(axis=1).min() < 1e-12 for point in points)


@pytest.mark.parametrize(("size", "bins"), [(30, 20), (20_000, 5000)])
def test_points_lie_on_the_curves_and_are_few(size, bins):
    truth, score, counts = scored(size, bins)
    precision, recall, _ = precision_recall_curve(truth, score)
    points = pr_points(counts)
    assert on_curve(points, recall, precision)
    assert points[-1][0] == 1
    assert len(points) <= 103
    # Each is the first corner beyond a hundredth, so at most one step of the curve beyond it.
    gaps = np.diff([0, *(x for x, _ in points)])
    assert gaps.max() <= 0.01 + np.abs(np.diff(recall)).max() + 1e-12

    false, true, _ = roc_curve(truth, score, drop_intermediate=False)
    points = roc_points(counts)
    assert on_curve(points, false, true)
    assert (points[0], points[-1]) == ([0, 0], [1, 1])
    assert len(points) <= 206
    assert (np.diff(points, axis=0) >= 0).all()


def test_without_a_class_there_is_no_curve():
    assert pr_points(np.array([[3, 1], [0, 0]])) == []
    assert roc_points(np.array([[3, 1], [0, 0]])) == []
    assert roc_points(np.array([[0, 0], [3, 1]])) == []
