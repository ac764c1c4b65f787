"""What is odd about a fracture mask."""

import dataclasses

import numpy as np

from tests.audit.data_set import (
    LEVELS,
    MIDDLES,
    SETTINGS,
    SHAPE,
    audit,
    bodies,
    found,
    sheet,
    write_case,
)


def test_a_fracture_outside_every_vertebra(tmp_path):
    between = np.zeros(SHAPE, np.uint8)
    between[36:40, 14:26, 14:26] = 1  # L2 ends at 35, L1 begins at 40: the outer layers are near
    beyond = np.roll(sheet(value=2), 20, axis=1)  # at 34 and more, bodies end at 29
    result = audit(write_case(tmp_path, "a", fractures=between + beyond))
    first, second = result.cases[0].lesions
    assert (first.outside_fraction, second.outside_fraction) == (0.5, 1.0)
    assert dict(first.owners) == {"L1": 144, "L2": 144}
    assert "instance 1 belongs" in found(result, "two_vertebrae", "warning").message
    outside = {f.severity: f.message for f in result.findings if f.kind == "outside_vertebra"}
    assert "instance 1 has 50%" in outside["warning"]
    assert "instance 2 has 100%" in outside["error"]


def test_small_empty_and_gapped_masks(tmp_path):
    dots = sheet()
    dots[MIDDLES["L1"], 20, 20] = 4
    dots[MIDDLES["L3"], 20, 20] = 7
    stray = sheet()
    stray[MIDDLES["L2"] + 4, 15, 15] = 1
    stray += sheet("L1", 2)
    cases = [
        write_case(tmp_path, "dots", seed=1, fractures=dots),
        write_case(tmp_path, "empty", seed=2, fractures=np.zeros(SHAPE, np.uint8)),
        write_case(tmp_path, "stray", seed=3, fractures=stray),
        write_case(tmp_path, "many", seed=4, fractures=sheet().astype(np.uint16) * 300),
    ]
    result = audit(*cases)
    tiny = found(result, "tiny_lesion", "warning")
    assert tiny.case_id == "dots"
    assert tiny.message.startswith("2 of 3 lesions")
    assert tiny.place.point == (MIDDLES["L1"], 20, 20)
    assert found(result, "empty_mask", "note").case_id == "empty"
    gaps = [f for f in result.findings if f.kind == "mask_gaps"]
    assert [f.case_id for f in gaps] == ["dots", "many"]
    assert "no 2, 3, 5, 6" in gaps[0].message
    assert found(result, "stray_voxels", "note").case_id == "stray"
    assert found(result, "mask_values", "error").case_id == "many"


def test_a_mask_of_whole_vertebrae_and_one_that_crops_miss(tmp_path):
    whole = (bodies() == LEVELS["L2"]).astype(np.uint8)
    result = audit(write_case(tmp_path, "a", fractures=whole))
    assert "38.4 mL" in found(result, "whole_vertebra", "warning").message
    small = dataclasses.replace(SETTINGS, crop_shape=(32, 32, 6))  # of 12 voxels across
    result = audit(write_case(tmp_path, "b"), settings=small)
    assert "50% of its voxels" in found(result, "outside_crops", "warning").message
