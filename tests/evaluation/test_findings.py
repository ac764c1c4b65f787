from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.scene import SHAPE, SPINE, THRESHOLDS, measured, sheet
from vfseg.data.geometry import geometry_from
from vfseg.data.probability import code_score, score_bin
from vfseg.data.volume import Volume
from vfseg.evaluation.findings import list_findings
from vfseg.inference.boxed_map import BoxedMap
from vfseg.inference.case import Prediction


def test_a_user_s_ct_is_listed_as_an_evaluated_one():
    rng = np.random.default_rng(0)
    truth = sheet(6, 28)
    probability = np.clip(0.45 * rng.random(SHAPE) + 0.4 * (truth > 0), 0, 1).astype(np.float32)
    probability[[0, -1]] = probability[:, [0, -1]] = probability[:, :, [0, -1]] = 0
    probability = code_score(score_bin(probability))
    box = (slice(1, 39), slice(1, 23), slice(1, 23))
    boxed = BoxedMap(SHAPE, box)
    boxed.fill(box, probability[box])
    ct = Volume(np.zeros(SHAPE, np.int16), SPINE.labels.geometry)
    found = Prediction(ct, SPINE, boxed, None, 0.0, 1)
    listed = list_findings("case", found, THRESHOLDS)
    wanted = measured(truth, probability)
    assert len(listed.lesions) == len(wanted.lesion_rows) == 2
    for number, (row, other) in enumerate(zip(listed.lesions, wanted.lesion_rows), 1):
        assert row | {"hit": True, "lesion": other["lesion"]} == other
        assert row["lesion"] == number
    for row, other in zip(listed.vertebrae, wanted.vertebra_rows, strict=True):
        assert row["map_ml"] == pytest.approx(other["predicted_ml"])
        assert row["specks_ml"] == pytest.approx(other["specks_ml"])
        names = row.keys() - {"map_ml", "specks_ml"}
        assert {name: row[name] for name in names} == {name: other[name] for name in names}


def found_at(*sheets, probability=0.9):
    """A prediction that shows sheets of some extent d h w from some voxel on."""
    values = np.zeros(SHAPE, np.float32)
    for start, extent in sheets:
        values[tuple(slice(a, a + n) for a, n in zip(start, extent))] = probability
    box = (slice(1, 39), slice(1, 23), slice(1, 23))
    boxed = BoxedMap(SHAPE, box)
    boxed.fill(box, values[box])
    ct = Volume(np.zeros(SHAPE, np.int16), SPINE.labels.geometry)
    return Prediction(ct, SPINE, boxed, None, 0.0, 1)


def test_specks_are_no_lesions_but_count_for_their_vertebra():
    """8 mm3 a voxel: 12 voxels are 0.096 mL, 13 are 0.104 mL."""
    found = found_at(((30, 6, 6), (1, 1, 12)), ((26, 8, 6), (1, 1, 13)), ((6, 8, 6), (1, 1, 3)))
    listed = list_findings("case", found, THRESHOLDS)
    assert [row["volume_ml"] for row in listed.lesions] == pytest.approx([0.104])
    volumes = {row["level"]: (row["map_ml"], row["specks_ml"]) for row in listed.vertebrae}
    assert volumes["L1"] == pytest.approx((0.2, 0.096))
    assert volumes["L2"] == pytest.approx((0.024, 0.024))


def test_lesions_are_numbered_from_the_head_down_as_in_their_map():
    """The lower vertebra has the surer one."""
    found = found_at(((30, 6, 6), (2, 4, 4)), ((24, 6, 6), (2, 4, 5)))
    lower = ((4, 6, 6), (2, 4, 4))
    values = np.array(found.probability[:])
    values[tuple(slice(a, a + n) for a, n in zip(*lower))] = 1.0
    found.probability.fill(found.probability.box, values[found.probability.box])
    listed = list_findings("case", found, THRESHOLDS)
    assert [(row["lesion"], row["level"]) for row in listed.lesions] == [
        *((1, "L1"), (2, "L1"), (3, "L2"))
    ]
    assert [row["volume_ml"] for row in listed.lesions] == pytest.approx([0.32, 0.256, 0.256])
    box = found.probability.box
    for row, start in zip(listed.lesions, ((24, 6, 6), (30, 6, 6), (4, 6, 6))):
        inside = np.argwhere(listed.numbers == row["lesion"]) + [side.start for side in box]
        assert inside.min(axis=0).tolist() == list(start)
        assert len(inside) * 0.008 == pytest.approx(row["volume_ml"])


def test_a_lesion_is_found_in_the_file_of_the_ct():
    """Its voxels along i, j, k of a file whose axes run L, P, S."""
    shape = SHAPE
    geometry = geometry_from(shape[::-1], np.diag([-2.0, -2, 2, 1]))
    spine = SPINE._replace(labels=Volume(SPINE.labels.array, geometry))
    found = found_at(((30, 6, 8), (2, 5, 7)))
    found = replace(found, spine=spine, ct=Volume(found.ct.array, geometry))
    (row,) = list_findings("case", found, THRESHOLDS).lesions
    stored = geometry.to_stored(np.array(found.probability[:]) > 0)
    for axis, name in enumerate(("voxels_i", "voxels_j", "voxels_k")):
        along = np.flatnonzero(stored.any(axis=tuple({0, 1, 2} - {axis})))
        assert row[name] == f"{along[0]}-{along[-1]}"
