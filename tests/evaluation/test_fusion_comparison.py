"""The table of all fusion rules, from predictions whose best rule is known beforehand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cohort import tiny_config, write_store
from vfseg.crops.store import CaseArrays
from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import write_ct, write_labels
from vfseg.evaluation.fusion_comparison import METRICS, compare_fusions
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.slices import SliceScores, SlicesOfCase
from vfseg.inference.settings import FUSIONS
from vfseg.inference.views import Views

VIEWS = Views(("axial", "coronal", "sagittal"))


@pytest.fixture
def scene(tmp_path):
    """Six cases of one crop; two views are right and sure, the third claims a false sheet."""
    config = tiny_config()
    size = config.prepare.crop_shape[0]
    records = write_store(tmp_path / "store", config, cases=6, crops=1)
    spacing = config.prepare.voxel_spacing
    grid = geometry_from((size,) * 3, np.diag([spacing, spacing, spacing, 1.0]))
    cases, predicted = [], []
    boxes = tmp_path / "boxes.csv"  # one vertebra, all that there is
    boxes.write_text(f"id,x0,x1,y0,y1,z0,z1\n20,0,{size},0,{size},0,{size}\n")
    for record in records:
        arrays = CaseArrays(tmp_path / "store", record)
        truth = arrays.fractures[...].read().result()[0]
        ct, mask = (tmp_path / f"{record.case_id}_{name}.nii" for name in ("ct", "mask"))
        hu = arrays.ct[...].read().result()[0]
        hu[0, 0, 0] = -1000  # air: else they would be no Hounsfield units
        write_ct(ct, hu, grid)
        write_labels(mask, truth, grid)
        cases.append(Case(record.case_id, record.case_id, ct, boxes=boxes, fractures=mask))
        right = np.where(truth != 0, np.float32(0.9), np.float32(0.1))
        wrong = right.copy()
        wrong[4:8] = 0.95
        answers = np.stack([right, right, wrong])[None]
        predicted.append(SlicesOfCase(record, answers, SliceScores(ScoreHistogram())))
    settings = replace(config.prepare, vertebra_scheme="verse")
    return (
        SimpleNamespace(predictor=SimpleNamespace(views=VIEWS), settings=settings),
        cases,
        predicted,
    )


def test_every_rule_has_a_row_and_the_rules_differ_as_they_must(scene):
    evaluator, cases, predicted = scene
    rows = compare_fusions(evaluator, cases, predicted[:2], predicted, slice_threshold=0.5, seed=0)
    assert [row["fusion"] for row in rows] == list(FUSIONS)
    by_rule = {row["fusion"]: row for row in rows}
    for row in rows:
        assert row["patients"] == 6
        for metric in METRICS:
            assert row[f"{metric}_low"] <= row[metric] <= row[f"{metric}_high"]
    # Two of three outvote the false sheet; the highest of three does not.
    for name in ("mean", "centre", "vote", "product"):
        assert by_rule[name]["dice"] == 1
        assert by_rule[name]["validation_dice"] == 1
    assert by_rule["maximum"]["dice"] < 0.5
    # All patients are alike, so no resample changes a figure.
    assert by_rule["maximum"]["dice_low"] == by_rule["maximum"]["dice_high"]


def test_the_order_of_the_cases_changes_no_figure(scene):
    evaluator, cases, predicted = scene
    settings = {"slice_threshold": 0.5, "seed": 0}
    rows = compare_fusions(evaluator, cases, predicted[:2], predicted[2:], **settings)
    turned = compare_fusions(evaluator, cases[::-1], predicted[1::-1], predicted[:1:-1], **settings)
    for row, other in zip(rows, turned):
        for name in ("threshold", "validation_dice", *METRICS):
            assert row[name] == other[name]
