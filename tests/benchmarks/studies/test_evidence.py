"""Candidates of evidence: each by its own definition, and how a table ranks them."""

import numpy as np
import pytest

from benchmarks.studies.evidence import Unit, candidates, table
from vfseg.data.box import box_between
from vfseg.data.levels import Vertebra
from vfseg.evaluation.regions import VertebraRegion


def region(voxels, voxel_mm3):
    shape = (1, 1, voxels)
    vertebra = Vertebra("L1", 20, (0, 0, 0), shape, np.zeros(3), voxels, 1.0)
    return VertebraRegion(vertebra, box_between((0, 0, 0), shape), np.ones(shape, bool), voxel_mm3)


def test_each_candidate_by_hand():
    # Ten voxels of 0.1 mL: 0.0, 0.1, ... 0.9; the upper five lie behind the body.
    values = (np.arange(10) / 10).reshape(1, 1, 10)
    found = candidates(values, region(10, 100.0), np.arange(10) >= 5)
    assert found["highest voxel"] == pytest.approx(0.9)
    assert found["expected volume"] == pytest.approx(0.45)
    assert found["highest 0.2 mL"] == pytest.approx((0.9 + 0.8) / 2)
    assert found["highest 1 mL"] == pytest.approx(0.45)
    # The arch, 0.5 to 0.9, has only half a millilitre; the body 0.0 to 0.4.
    assert found["highest 1 mL, body or arch"] == pytest.approx(0.7)
    whole = candidates(values, region(10, 100.0), None)
    assert whole["highest 1 mL, body or arch"] == whole["highest 1 mL"]


def test_a_table_of_areas_by_group():
    units = [
        Unit("a", "L1", {"score": 0.9, "height loss": 1.0}, True),
        Unit("a", "L2", {"score": 0.1}, False),
        Unit("b", "L1", {"score": 0.5, "height loss": 2.0}, False),
    ]
    score, heights = table(units, {"all": units, "b": units[2:]})
    assert score == {"candidate": "score", "all": 1.0, "b": None}
    assert heights == {"candidate": "height loss", "all": 0.0, "b": None}
