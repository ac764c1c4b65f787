"""Fusing crops: everyone's mean is the same, and one that is not is found out."""

import numpy as np
import pytest

from benchmarks import fusion


def test_everyone_returns_the_mean_of_all_predictions_of_a_voxel():
    found, total = fusion.competitors(3, 8)
    predictions, starts = fusion.case(3, 8)
    corners = np.array(starts) - np.min(starts, axis=0)
    sums, counts = {}, {}
    for crop, corner in zip(predictions, corners):
        for voxel in np.ndindex(8, 8, 8):
            place = tuple(corner + voxel)
            sums[place] = sums.get(place, 0.0) + float(crop[(slice(None), *voxel)].sum())
            counts[place] = counts.get(place, 0) + len(crop)
    mean = found["NumPy loop"]()
    assert max(counts.values()) >= 2 * fusion.VIEWS, "crops overlap"
    assert np.count_nonzero(mean) == len(sums)
    for place, value in sums.items():
        assert mean[place] == pytest.approx(value / counts[place], rel=1e-5)
    assert total == predictions.nbytes + mean.nbytes
    assert found["copy"]().nbytes == total / 2
    assert {"vfseg", "scatter", "gather"} < set(found)


def test_another_mean_is_found_out(monkeypatch):
    right = fusion.gather
    monkeypatch.setattr(fusion, "gather", lambda *args: 1.0001 * right(*args))
    with pytest.raises(AssertionError, match="gather"):
        fusion.competitors(3, 8)
