"""What one case shows by itself: its files, its levels, its boxes."""

import dataclasses

import numpy as np
import pytest

from tests.audit.data_set import (
    AFFINE,
    LEVELS,
    MIDDLES,
    SETTINGS,
    SHAPE,
    audit,
    bodies,
    found,
    image,
    kinds,
    sheet,
    write_case,
)
from vfseg.audit import case as examination
from vfseg.data.volume import read_geometry, write_labels


def test_mistake_1_reversed_levels(tmp_path):
    reversed_ids = bodies({"L1": 22, "L2": 21, "L3": 20})
    case = write_case(tmp_path, "a", labels=reversed_ids)
    result = audit(case, write_case(tmp_path, "b", seed=1))
    assert found(result, "scheme", "error").case_id == "a"
    assert result.usable == ("b",)
    named = dataclasses.replace(SETTINGS, vertebra_scheme="verse")
    assert "reversed" in found(audit(case, settings=named), "scheme", "error").message


def test_mistake_1_reversed_boxes_beside_a_label_map(tmp_path):
    def box(name, level):
        return f"{name},10,30,10,30,{MIDDLES[level] - 6},{MIDDLES[level] + 6}"

    right = write_case(tmp_path, "a", boxes=[box(level, level) for level in LEVELS])
    assert "boxes" not in kinds(audit(right), "error")
    wrong = write_case(tmp_path, "b", boxes=[box("L1", "L3"), box("L2", "L2"), box("L3", "L1")])
    assert "L1, L3" in found(audit(wrong), "boxes", "error").message


def test_mistake_3_boxes_alone_are_warned_of(tmp_path):
    box = [f"{level},10,30,10,30,{at - 6},{at + 6}" for level, at in MIDDLES.items()]
    case = write_case(tmp_path, "a", boxes=box)
    result = audit(dataclasses.replace(case, vertebrae=None))
    assert found(result, "boxes_only", "warning")
    assert result.usable == ("a",)


def test_an_error_that_no_check_foresaw_is_one_of_its_case(tmp_path, monkeypatch):
    cases = [write_case(tmp_path, name, seed=i) for i, name in enumerate("ab")]
    genuine = examination.read_ct

    def read_ct(path):
        if path == cases[0].ct:
            raise MemoryError("8 EiB")
        return genuine(path)

    monkeypatch.setattr(examination, "read_ct", read_ct)
    result = audit(*cases)
    assert found(result, "file", "error").message == "MemoryError: 8 EiB"
    assert result.usable == ("b",)


def test_a_folder_with_a_mask_for_each_vertebra_is_read(tmp_path):
    case = write_case(tmp_path, "a")
    geometry, labels = read_geometry(case.vertebrae), bodies()
    for level, label in LEVELS.items():
        mask = (labels == label).astype(np.uint8)
        write_labels(tmp_path / "classes" / f"vertebrae_{level}.nii.gz", mask, geometry)
    result = audit(dataclasses.replace(case, vertebrae=tmp_path / "classes"))
    assert result.usable == ("a",)
    assert [v.level for v in result.cases[0].vertebrae] == ["L1", "L2", "L3"]


def test_a_shifted_label_map_is_named_with_its_distance(tmp_path):
    moved = AFFINE.copy()
    moved[:3, 3] += (3, 0, 4)
    result = audit(write_case(tmp_path, "a", label_affine=moved))
    finding = found(result, "geometry", "error")
    assert "5 mm apart" in finding.message
    assert finding.place is not None
    assert finding.place.index == SHAPE[2] // 2
    assert not result.usable


@pytest.mark.parametrize("line", ["L1,30,10,10,30,40,52", "L1,10,30,10,30,40,99"])
def test_boxes_inverted_or_outside_the_volume(tmp_path, line):
    result = audit(write_case(tmp_path, "a", boxes=[line]))
    assert "line 1" in found(result, "boxes", "error").message


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("level_missing", {21: 0}),
        ("level_extra", {22: 25}),
        ("fragment", {22: 0}),
    ],
)
def test_odd_levels(tmp_path, kind, change):
    labels = bodies()
    for label, other in change.items():
        labels[labels == label] = other
    if kind == "fragment":
        labels[12:16, 18:22, 18:22] = 22
    if kind == "level_extra":
        labels[labels == 21], labels[labels == 20] = 24, 23
    named = dataclasses.replace(SETTINGS, vertebra_scheme="verse")
    fractures = np.where(labels[:, :, :] == labels[MIDDLES["L1"], 20, 20], sheet("L1"), 0)
    case = write_case(tmp_path, "a", labels=labels, fractures=fractures.astype(np.uint8))
    assert found(audit(case, settings=named), kind, "warning").case_id == "a"


def test_labels_off_the_bone(tmp_path):
    result = audit(write_case(tmp_path, "a", ct=image(0, np.roll(bodies(), 20, axis=1))))
    assert "not_bone" in kinds(result, "warning")
