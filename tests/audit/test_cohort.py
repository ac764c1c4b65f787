"""The cases of a data set against each other."""

import dataclasses

import numpy as np

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
    sheet,
    write_case,
)
from vfseg.audit.cohort import prevalence
from vfseg.audit.tables import prevalence_table


def test_mistake_2_crops_without_their_ct_claim_one_place(tmp_path):
    whole, labels = image(3), bodies()
    cases = []
    for level in ("L1", "L3"):
        crop = slice(MIDDLES[level] - 10, MIDDLES[level] + 10)
        cases.append(
            write_case(
                tmp_path,
                level,
                ct=whole[crop],
                labels=labels[crop],
                fractures=sheet()[crop],
                patient="p",
            )
        )
    result = audit(*cases, settings=dataclasses.replace(SETTINGS, vertebra_scheme="verse"))
    assert "L1 there lie 0.0 mm apart" in found(result, "crop_affine", "error").message


def test_mistake_3_a_fracture_of_the_neighbour_in_the_box(tmp_path):
    labels = bodies()
    labels[34:41, 30:34, 18:22] = LEVELS["L1"]  # a process of L1 reaches down beside L2's box
    fractures = sheet("L2")
    fractures[34:36] = fractures[30]  # on top of L2's body, inside L1's box
    result = audit(write_case(tmp_path, "a", labels=labels, fractures=fractures))
    one, two, three = result.cases[0].vertebrae
    assert (one.by_mask, two.by_mask, three.by_mask) == (False, True, False)
    assert (one.by_box, two.by_box, three.by_box) == (True, True, False)
    assert prevalence(result.cases) == (3, 1, 2)
    message = found(result, "attribution", "note").message
    assert "1 of 3 vertebrae (33%)" in message
    assert "2 (67%)" in message
    assert ("L1", "0 of 1 (box: 1)", "0 of 1 (box: 1)") in prevalence_table(result.cases)[1]


def test_mistake_4_a_level_without_a_fracture_in_the_test_split(tmp_path):
    cases = [
        write_case(tmp_path, "a", seed=1, fractures=sheet("L1") + sheet("L2", 2)),
        write_case(tmp_path, "b", seed=2, split="test"),
    ]
    finding = found(audit(*cases), "level_without_fracture", "warning")
    assert finding.split == "test"
    assert "2 levels: L1 (of 1), L3 (of 1)" in finding.message
    assert "L2" not in finding.message


def test_doubles_are_found_under_other_headers(tmp_path):
    other = AFFINE.copy()
    other[:3, 3] += 50
    cases = [
        write_case(tmp_path, "a", seed=1),
        write_case(tmp_path, "turned", seed=1, stored="yxz", affine=other, split="test"),
        write_case(tmp_path, "offset", ct=image(1) + np.int16(20), patient="a"),
        write_case(tmp_path, "own", seed=2),
    ]
    doubles = {f.case_id: f for f in audit(*cases).findings if f.kind == "duplicate"}
    assert set(doubles) == {"turned", "offset"}
    assert doubles["turned"].severity == "error"
    assert "headers differ" in doubles["turned"].message
    assert "across splits" in doubles["turned"].message
    assert doubles["offset"].severity == "warning"  # one patient, one split


def test_leaks_double_ids_and_splits(tmp_path):
    cases = [
        write_case(tmp_path, "a", seed=1, patient="p"),
        write_case(tmp_path, "b", seed=2, patient="p", split="test"),
        write_case(tmp_path, "c", seed=3, split=""),
    ]
    cases.append(dataclasses.replace(cases[2], case_id="C"))
    result = audit(*cases)
    assert "a (train), b (test)" in found(result, "leak", "error").message
    assert found(result, "case_id", "error").case_id == "c"
    about = {(f.severity, f.split) for f in result.findings if f.kind == "split"}
    assert about == {("note", ""), ("warning", "validation")}


def test_no_fracture_to_learn_from(tmp_path):
    empty = np.zeros(SHAPE, np.uint8)
    case = write_case(tmp_path, "a", fractures=empty)
    errors = [f for f in audit(case).findings if f.kind == "no_fracture"]
    assert [(f.severity, f.split) for f in errors] == [("error", "train")]
    result = audit(dataclasses.replace(case, fractures=None))
    assert found(result, "no_reference", "warning")
