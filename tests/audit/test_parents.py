"""Crops that pose as whole CTs."""

import numpy as np
import pytest
from nibabel.affines import apply_affine

from tests.audit.data_set import AFFINE, audit, bodies, found, image, kinds, sheet, write_case
from vfseg.audit.parents import find_block


@pytest.mark.parametrize("stored", ["xyz", "yxz"])
def test_mistake_2_crop_with_the_affine_of_its_ct(tmp_path, stored):
    whole, labels = image(3), bodies()
    crop = (slice(20, 40), slice(6, 36), slice(6, 36))
    parts = {"labels": labels[crop], "fractures": sheet()[crop]}
    parent = write_case(tmp_path, "parent", ct=whole, patient="p", stored=stored)
    wrong = write_case(tmp_path, "crop", ct=whole[crop], patient="p", stored=stored, **parts)
    finding = found(audit(parent, wrong), "crop_affine", "error")
    assert finding.case_id == "crop"
    distance = 2 * np.linalg.norm([20, 6, 6])
    assert f"{distance:.0f} mm" in finding.message
    assert "(6, 6, 20)" in finding.message

    moved = AFFINE.copy()
    moved[:3, 3] = apply_affine(AFFINE, [6, 6, 20])
    right = write_case(
        tmp_path, "right", ct=whole[crop], patient="p", affine=moved, stored=stored, **parts
    )
    assert "crop_affine" not in kinds(audit(parent, right), "error", "warning")


def test_a_part_with_its_own_affine_is_a_double(tmp_path):
    whole = image(3)
    parent = write_case(tmp_path, "parent", ct=whole, patient="p")
    part = slice(0, 40)
    parts = {"labels": bodies()[part], "fractures": sheet()[part]}
    case = write_case(tmp_path, "part", ct=whole[part], patient="p", split="test", **parts)
    assert "across splits" in found(audit(parent, case), "duplicate", "error").message


def test_a_block_is_found_where_it_is_and_nowhere_else():
    rng = np.random.default_rng(0)
    array = np.asfortranarray(rng.integers(0, 9, (9, 8, 7), dtype=np.int16))
    for start in ((0, 0, 0), (6, 5, 4), (2, 0, 3)):
        block = array[tuple(slice(at, at + 3) for at in start)]
        assert tuple(find_block(array, block)) == start
    assert find_block(array, block + np.int16(9)) is None
    assert find_block(array[:2], block) is None
