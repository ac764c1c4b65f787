"""What others wrote is not replaced by results, wherever these are to go."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from tests.commands.test_predict import run, write_case
from vfseg.commands import predict as command
from vfseg.commands.case_result import refused_for
from vfseg.data.outputs import NOTE
from vfseg.errors import UserError
from vfseg.evaluation.lists import LESION_COLUMNS
from vfseg.files import write_table
from vfseg.inference.case import LESION_MAP, LESIONS, MASK, VERTEBRAE

KEPT = "stands already, and is no result of this program.*another folder, or move the file"


@pytest.fixture(autouse=True)
def _without_a_model(monkeypatch):
    """It is refused before there is one: to call it would fail in another way."""
    monkeypatch.setattr(command, "open_model", None)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", [MASK, LESION_MAP])
def test_a_label_map_beside_the_ct_is_not_replaced_by_its_result(tmp_path, name, overwrite):
    ct, labels, _ = write_case(tmp_path)
    named = labels.rename(tmp_path / name)
    _stays(named, ct, vertebrae=named, overwrite=overwrite)


@pytest.mark.parametrize("overwrite", [False, True])
def test_boxes_and_lists_of_others_stay(tmp_path, overwrite):
    ct, _, boxes = write_case(tmp_path)
    named = boxes.rename(tmp_path / VERTEBRAE)
    _stays(named, ct, boxes=named, overwrite=overwrite)


def _stays(named, ct, **asked):
    """A prediction into the folder of a file with the name of a result leaves it as it is."""
    before = named.read_bytes()
    with pytest.raises(UserError, match=f"{named.name}: {KEPT}"):
        run(ct, named.parent, None, **asked)
    assert named.read_bytes() == before


def test_a_mask_of_a_reader_among_many_cases_stays(tmp_path):
    """Results may lie among the CTs, and then each case has its own folder."""
    for name in ("a", "b"):
        ct, labels, boxes = write_case(tmp_path / name)
        boxes.unlink()
        shutil.copy(labels, tmp_path / name / MASK)
        ct.rename(ct.with_name("ct.nii.gz"))
        labels.rename(labels.with_name("vertebrae.nii.gz"))
    before = (tmp_path / "a" / MASK).read_bytes()
    with pytest.raises(UserError, match=rf"a/{MASK}: {KEPT}(.|\n)*b/{MASK}: {KEPT}"):
        run(tmp_path, tmp_path, None)
    assert (tmp_path / "a" / MASK).read_bytes() == before


def test_a_table_of_others_is_not_replaced_by_that_of_all_cases(tmp_path):
    write_case(tmp_path / "cases" / "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / VERTEBRAE).write_text("mine")
    with pytest.raises(UserError, match=f"{VERTEBRAE}: {KEPT}"):
        run(tmp_path / "cases", tmp_path / "out", None)
    assert (tmp_path / "out" / VERTEBRAE).read_text() == "mine"


def test_what_this_program_wrote_may_be_replaced(tmp_path):
    """A map says so in its header, a list in its columns; an empty folder has nothing."""
    assert refused_for(tmp_path) == ""
    write_table(tmp_path / LESIONS, [], LESION_COLUMNS)
    for note, is_ours in ((NOTE, True), ("by a reader", False)):
        image = nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4))
        image.header["descrip"] = note
        nib.save(image, tmp_path / MASK)
        assert (refused_for(tmp_path) == "") == is_ours
