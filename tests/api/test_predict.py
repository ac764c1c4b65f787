"""`vfseg.predict`: what it takes, what it gives, and that it is what the command writes."""

import gc
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

import vfseg
from tests.cohort import ROOT
from tests.commands.test_predict import run, save_model, write_case
from vfseg.errors import UserError
from vfseg.evaluation.heights import NO_LABEL_MAP

VERSE = vfseg.Options(vertebra_scheme="verse")
LEVELS = ["L1", "L2"]


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    """Pictures are not what these tests are about."""
    monkeypatch.setattr("vfseg.report.case.draw_case", lambda *_: None)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return save_model(
        tmp_path_factory.mktemp("model"), **{"inference.planes": ("axial", "sagittal")}
    )


@pytest.fixture(scope="module")
def model(checkpoints):
    return vfseg.load_model(checkpoints)


def in_memory(path):
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


def test_all_that_is_saved_is_what_the_command_writes(tmp_path, checkpoints, model):
    """To the last byte: of paths, of images, and of arrays."""
    ct, labels, _ = write_case(tmp_path)
    run(ct, tmp_path / "command", checkpoints, vertebrae=labels)
    wanted = {path.name: path.read_bytes() for path in (tmp_path / "command").glob("[!.]*")}
    assert "uncertainty.nii.gz" in wanted
    for number, (image, map_) in enumerate(
        ((ct, str(labels)), (nib.load(ct), nib.load(labels)), (ct, in_memory(labels)))
    ):
        found = vfseg.predict(image, map_, model=model, options=VERSE)
        folder = found.save(tmp_path / str(number))
        assert {path.name: path.read_bytes() for path in folder.glob("[!.]*")} == wanted
    folder = found.save(folder)
    assert {path.name: path.read_bytes() for path in folder.glob("[!.]*")} == wanted, "replaced"
    (folder / "mask.nii.gz").write_text("drawn by a reader")
    with pytest.raises(UserError, match=r"mask\.nii\.gz: stands already, and is no result"):
        found.save(folder)
    assert (folder / "mask.nii.gz").read_text() == "drawn by a reader"
    assert (folder / "probability.nii.gz").read_bytes() == wanted["probability.nii.gz"]


def test_what_was_found_lies_on_the_grid_of_the_ct(tmp_path, model):
    ct, labels, _ = write_case(tmp_path)
    found = vfseg.predict(in_memory(ct), in_memory(labels), model=model, options=VERSE)
    want = nib.load(ct)
    for image in (found.probability, found.mask, found.uncertainty, found.lesion_map):
        assert image.shape == want.shape
        np.testing.assert_array_equal(image.affine, want.affine)
    probability, mask = (np.asarray(i.dataobj) for i in (found.probability, found.mask))
    assert (probability.dtype, mask.dtype) == (np.float32, np.uint8)
    inside = probability > 0
    # The stored map has steps of 1/65535.
    np.testing.assert_array_equal(
        mask[inside] == 1, probability[inside] >= found.threshold - 0.5 / 65535
    )
    assert [row["level"] for row in found.vertebrae] == LEVELS
    assert {row["trained_on"] for row in found.vertebrae} == {found.fractures} == {"synthetic"}
    assert len(np.unique(np.asarray(found.lesion_map.dataobj))) - 1 == len(found.lesions)
    assert "level  verdict" in str(found)
    assert found.case_id == "case"


def test_boxes_and_points_in_memory(tmp_path, model):
    """A box of half-open voxel indices; a point in mm. Neither lets heights be measured."""
    ct, _, _ = write_case(tmp_path)
    boxes = {"L1": (8, 32, 8, 28, 34, 48), "L2": (8, 32, 8, 28, 12, 26)}
    points = {"L1": (19.5, 17.5, 60.75), "L2": (19.5, 17.5, 27.75)}
    for known in ({"boxes": boxes}, {"points": points}):
        found = vfseg.predict(ct, model=model, **known)
        assert [row["level"] for row in found.vertebrae] == LEVELS
        assert {row["heights_missing"] for row in found.vertebrae} == {NO_LABEL_MAP}
        assert all(0 <= row["score"] <= 1 for row in found.vertebrae)
        assert f"{'points' if 'points' in known else 'boxes'} only" in found.notes[0]


def test_maps_go_with_their_object(tmp_path, model):
    ct, labels, _ = write_case(tmp_path)
    found = vfseg.predict(ct, labels, model=model, options=VERSE)
    folder, mask = found._folder, found.mask
    assert folder.is_dir()
    del found
    gc.collect()
    assert not folder.exists()
    assert mask.get_fdata().shape == (40, 36, 60), "what was taken from it stays"


def test_what_is_wrong_is_named_and_leaves_nothing_behind(tmp_path, model, monkeypatch):
    ct, labels, boxes = write_case(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    array, affine = in_memory(labels)
    for arguments, said in (
        ({}, "no spine was found that can be trusted. Name the vertebrae with"),
        ({"vertebrae": labels, "boxes": boxes}, "got vertebrae and boxes. Give one of them"),
        ({"vertebrae": tmp_path / "none.nii"}, r"none\.nii: no such file"),
        ({"vertebrae": (array[1:], affine)}, r"vertebrae\.nii does not lie on the grid"),
        ({"points": {"L1": (0, 0, 9000)}}, "L1 lies outside the CT"),
    ):
        with pytest.raises(UserError, match=said):
            vfseg.predict(ct, model=model, options=VERSE, **arguments)
    with pytest.raises(TypeError, match="case: expected a path"):
        vfseg.predict(np.zeros((4, 4, 4)), labels, model=model)
    with pytest.raises(UserError, match="no checkpoint"):
        vfseg.predict(ct, labels, model=tmp_path / "empty")
    assert not list((tmp_path / "temporary").iterdir())


def test_to_import_it_costs_nothing():
    """Nothing heavy is loaded before it is needed; all names are there all the same."""
    code = (
        "import sys, vfseg\n"
        "heavy = {'jax', 'numpy', 'nibabel', 'absl', 'matplotlib'} & set(sys.modules)\n"
        "print(heavy, set(vfseg.__all__) <= set(dir(vfseg)))\n"
        "print(vfseg.UserError.__module__, hasattr(vfseg, 'none'))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set() True\nvfseg.errors False\n"


def test_all_names_are_where_they_are_said_to_be():
    for name in vfseg.__all__:
        assert getattr(vfseg, name) is not None
