import numpy as np
import pytest

from tests.evaluation.scene import SPINE
from vfseg.evaluation.heights import Unmeasured
from vfseg.evaluation.map_evidence import EVIDENCE_ML, highest_mean, map_evidence
from vfseg.evaluation.regions import vertebra_regions


def test_the_highest_half_of_a_millilitre():
    values = np.arange(100) / 100
    assert highest_mean(values, 20.0) == pytest.approx(np.mean(values[75:]))  # 25 x 20 mm3
    assert highest_mean(values, 0.5) == pytest.approx(values.mean())  # 50 mm3 are all there is
    assert highest_mean(values, 1000.0) == 0.99  # no voxel is smaller: the highest one
    assert highest_mean(values[:0], 20.0) is None


@pytest.mark.parametrize("fine", [1, 2, 4])
def test_the_size_of_voxels_does_not_matter(fine):
    values = np.repeat(np.random.default_rng(0).random(400), fine)
    coarse = highest_mean(values[::fine], 10.0)
    assert highest_mean(values, 10.0 / fine) == pytest.approx(coarse)


def test_a_sheet_counts_by_itself_where_a_percentile_sees_none():
    """0.5 mL of fracture in a vertebra of 32 mL."""
    values = np.zeros(4000, np.float32)
    values[:63] = 0.8  # voxels of 8 mm3
    assert highest_mean(values, 8.0) == pytest.approx(0.8)
    assert np.percentile(values, 95) == 0


def test_without_a_body_the_whole_region_counts():
    region = next(iter(vertebra_regions(SPINE, SPINE.labels.geometry)))
    probability = np.random.default_rng(0).random(region.inside.shape).astype(np.float32)
    geometry = SPINE.labels.geometry
    found = map_evidence(probability, region, geometry, Unmeasured("L1", "no label map"))
    number = round(1000 * EVIDENCE_ML / region.voxel_mm3)
    assert found.score == pytest.approx(np.sort(probability[region.inside])[-number:].mean())
    assert found[1:] == (None, None)
