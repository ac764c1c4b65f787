"""Predictions with vertebrae that were found: points and outlines, and what stands already."""

import shutil

import nibabel as nib
import numpy as np
import pytest

import vfseg
from tests.program import vfseg as program
from vfseg.commands.find import find
from vfseg.commands.request import AUTO, Request
from vfseg.data.settings import SpineReading
from vfseg.errors import UserError
from vfseg.files import read_table
from vfseg.localisation import find as finding
from vfseg.localisation import weights


def maps(folder):
    return {name: (folder / name).read_bytes() for name in ("probability.nii.gz", "mask.nii.gz")}


def test_a_prediction_with_found_vertebrae_is_that_with_their_outlines(
    ct, found, predicted, tmp_path, capsys
):
    found("L1", "L2", probability=0.6, others={"L3": 0.4})
    predicted(tmp_path / "a")
    said = capsys.readouterr().out
    assert "experimental: 2 vertebrae found, L1 to L2" in said
    assert "the names are uncertain" in said
    assert "points.csv: calls the names of L1, L2 uncertain" in said
    assert (tmp_path / "a" / "points.png").stat().st_size > 1000
    _, rows = read_table(tmp_path / "a" / "vertebrae.csv")
    assert [row.cells["level"] for row in rows] == ["L1", "L2"]
    assert all("uncertain" in row.cells["flags"].split() for row in rows)
    reading = SpineReading(vertebra_scheme="verse")
    predicted(tmp_path / "b", vertebrae=tmp_path / "a" / "vertebrae.nii.gz", reading=reading)
    assert maps(tmp_path / "a") == maps(tmp_path / "b")
    assert "vertebrae.nii.gz: outlines of the bodies around the points, experimental" in said
    assert "no vertebrae are named" not in said


def test_where_nothing_names_vertebrae_they_are_found(
    ct, checkpoints, found, predicted, tmp_path, capsys
):
    found("L1", "L2")
    predicted(tmp_path / "a")
    capsys.readouterr()
    predicted(tmp_path / "b", vertebrae=None)
    assert f"{ct}: no vertebrae are named, so they are found" in capsys.readouterr().out
    assert maps(tmp_path / "a") == maps(tmp_path / "b")
    mine = np.asarray(vfseg.predict(ct, model=checkpoints).probability.dataobj)
    stored = np.asarray(nib.load(tmp_path / "b" / "probability.nii.gz").dataobj)
    np.testing.assert_array_equal(mine, stored.astype(np.float32))


def test_python_finds_as_the_command_does(ct, checkpoints, found, predicted, tmp_path):
    asked = found("L1", "L2", probability=0.5)
    predicted(tmp_path / "a")
    options = vfseg.Options(lowest="L2")
    sure = vfseg.predict(ct, "find", model=checkpoints, options=options)
    assert asked == [(str(ct), None), (str(ct), "L2")]
    unsure = vfseg.predict(ct, "find", model=checkpoints)
    _, rows = read_table(tmp_path / "a" / "vertebrae.csv")
    flags = [row.cells["flags"] for row in rows]
    assert [row["flags"] for row in unsure.vertebrae] == flags
    assert not any("uncertain" in row["flags"] for row in sure.vertebrae)
    for prediction in (sure, unsure):
        assert prediction.notes[0] == "experimental: 2 vertebrae found, L1 to L2"
        stored = np.asarray(nib.load(tmp_path / "a" / "probability.nii.gz").dataobj)
        mine = np.asarray(prediction.probability.dataobj)
        np.testing.assert_array_equal(mine, stored.astype(np.float32))


def test_a_body_that_cannot_be_outlined_is_left_out_and_named(
    found, predicted, outlined, tmp_path, capsys
):
    found("L1", "L2")
    outlined(but=("L2",))
    predicted(tmp_path / "out")
    assert "left out, since they could not be outlined: L2" in capsys.readouterr().out
    _, rows = read_table(tmp_path / "out" / "vertebrae.csv")
    assert [row.cells["level"] for row in rows] == ["L1"]


def test_where_no_body_can_be_outlined_boxes_do(found, predicted, outlined, tmp_path, capsys):
    found("L1", "L2")
    outlined(but=("L1", "L2"))
    predicted(tmp_path / "a")
    assert "no body could be outlined" in capsys.readouterr().out
    assert not (tmp_path / "a" / "vertebrae.nii.gz").exists()
    predicted(tmp_path / "b", vertebrae=None, points=tmp_path / "a" / "points.csv")
    assert maps(tmp_path / "a") == maps(tmp_path / "b")


def test_a_label_map_of_somebody_else_is_not_replaced(ct, found, predicted, tmp_path):
    found("L1", "L2")
    theirs = tmp_path / "out" / "vertebrae.nii.gz"
    theirs.parent.mkdir()
    theirs.write_bytes((tmp_path / "case_vert.nii.gz").read_bytes())
    with pytest.raises(UserError, match=r"is no result of this program.* --vertebrae"):
        predicted(tmp_path / "out")
    assert theirs.read_bytes() == (tmp_path / "case_vert.nii.gz").read_bytes()


def test_points_that_stand_are_taken_and_never_written_over(found, predicted, tmp_path, capsys):
    asked = found("L1", "L2")
    (tmp_path / "out").mkdir()
    find(Request(input=tmp_path / "case_ct.nii.gz", output=tmp_path / "out" / "points.csv"))
    mended = (tmp_path / "out" / "points.csv").read_text().replace("L2", "L3").replace("L1", "L2")
    (tmp_path / "out" / "points.csv").write_text(mended)
    with pytest.raises(UserError, match=r"--lowest L1: .* ends on L3. Delete it, and give"):
        predicted(tmp_path / "out", lowest="L1")
    predicted(tmp_path / "out", lowest="L3")
    assert "stands and is taken" in capsys.readouterr().out
    assert (tmp_path / "out" / "points.csv").read_text() == mended
    predicted(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "points.csv").read_text() == mended
    assert len(asked) == 1


def test_a_lowest_level_settles_the_names_of_points_that_stand(found, predicted, tmp_path):
    """Whatever their order: L2 is the lowest, though another line is the last."""
    found("L1", "L2", probability=0.5)
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "points.csv"
    find(Request(input=tmp_path / "case_ct.nii.gz", output=path))
    first, upper, lower = path.read_text().splitlines()
    uncertain = "\n".join([first, lower, upper]) + "\n"
    assert uncertain.count("uncertain") == 2
    path.write_text(uncertain)
    with pytest.raises(UserError, match=r"--lowest L1: .* stands already and ends on L2"):
        predicted(tmp_path / "out", lowest="L1")
    assert path.read_text() == uncertain
    predicted(tmp_path / "out", lowest="L2")
    assert path.read_text() == uncertain.replace(" uncertain", "")


def test_the_program_takes_find_for_no_path(ct, checkpoints, tmp_path):
    """From the command line on; noise shows no spine."""
    command = ["predict", ct, "--vertebrae", "find", "-o", "out", "--checkpoint", checkpoints]
    assert "no spine was found" in program(*command, cwd=tmp_path, status=2)


def test_what_the_localiser_refuses_leaves_no_results(predicted, tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError("no spine was found that can be trusted")

    monkeypatch.setattr(weights, "read_weights", lambda: None)
    monkeypatch.setattr(finding, "find_vertebrae", refuse)
    with pytest.raises(UserError, match="no spine was found"):
        predicted(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_results_say_that_vertebrae_were_found(found, predicted, tmp_path, capsys):
    """Until somebody has looked, and emptied the column."""
    found("L1", "L2")
    out = tmp_path / "out"
    predicted(out)
    assert "correct points.csv beside it, and give the same" in capsys.readouterr().out
    _, rows = read_table(out / "vertebrae.csv")
    assert all("found" in row.cells["flags"].split() for row in rows)
    path = out / "points.csv"
    path.write_text(path.read_text().replace("found", ""))
    predicted(out, overwrite=True)
    _, rows = read_table(out / "vertebrae.csv")
    assert not any("found" in row.cells["flags"] for row in rows)


def test_points_of_another_ct_are_refused(ct, found, predicted, tmp_path):
    """Such as those of an earlier scan, of the same size, in a folder that is used again."""
    found("L1", "L2")
    out = tmp_path / "out"
    predicted(out)
    before = maps(out)
    image = nib.load(ct)
    later = tmp_path / "later_ct.nii.gz"
    nib.save(nib.Nifti1Image(np.roll(np.asarray(image.dataobj), 3, 1), image.affine), later)
    with pytest.raises(UserError, match=r"points.csv: was found in another CT than .*later_ct"):
        predicted(out, input=later, overwrite=True)
    assert maps(out) == before
    mine = out / "points.csv"  # made by hand, so that nothing says of which CT it is
    mine.write_text("\n".join(line.rpartition(",")[0] for line in mine.read_text().splitlines()))
    predicted(out, input=later, overwrite=True)


def test_outlines_of_an_earlier_prediction_go(ct, found, predicted, tmp_path):
    found("L1", "L2")
    out = tmp_path / "out"
    predicted(out)
    assert (out / "vertebrae.nii.gz").exists()
    predicted(out, vertebrae=None, points=out / "points.csv", overwrite=True)
    assert not (out / "vertebrae.nii.gz").exists()
    assert (out / "points.csv").exists()


def test_a_lowest_level_over_results_that_stand_is_not_passed_over(found, predicted, tmp_path):
    found("L1", "L2")
    predicted(tmp_path / "out")
    with pytest.raises(UserError, match=r"--lowest L2: .* holds results already. --overwrite"):
        predicted(tmp_path / "out", lowest="L2")


def test_outlines_are_not_taken_for_a_map_of_totalsegmentator(
    found, predicted, tmp_path, monkeypatch
):
    found("L1", "L2")
    predicted(tmp_path / "out")
    for name in ("probability.nii.gz", "mask.nii.gz", "vertebrae.csv"):
        (tmp_path / "out" / name).unlink()
    asked = []

    def segment(ct, path):
        asked.append(path)
        shutil.copyfile(tmp_path / "case_vert.nii.gz", path)

    monkeypatch.setattr("vfseg.commands.predict.segment_vertebrae", segment)
    reading = SpineReading(vertebra_scheme="verse")
    predicted(tmp_path / "out", vertebrae=AUTO, reading=reading)
    assert asked == [tmp_path / "out" / "vertebrae.nii.gz"]


def test_in_a_folder_those_without_a_label_map_are_found(ct, found, predicted, tmp_path, capsys):
    found("L1", "L2")
    folder = tmp_path / "folder"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        shutil.copyfile(ct, folder / name / "ct.nii.gz")
    shutil.copyfile(tmp_path / "case_vert.nii.gz", folder / "a" / "vertebrae.nii.gz")
    reading = SpineReading(vertebra_scheme="verse")
    predicted(tmp_path / "out", input=folder, vertebrae=None, reading=reading)
    _, rows = read_table(tmp_path / "out" / "vertebrae.csv")
    flags = {case: set() for case in "ab"}
    for row in rows:
        flags[row.cells["case_id"]] |= set(row.cells["flags"].split())
    assert "found" not in flags["a"]
    assert "found" in flags["b"]
    assert not (tmp_path / "out" / "a" / "points.csv").exists()
    assert (tmp_path / "out" / "b" / "points.csv").exists()


def test_what_python_saves_has_points_and_outlines(ct, checkpoints, found, predicted, tmp_path):
    found("L1", "L2")
    predicted(tmp_path / "a")
    prediction = vfseg.predict(ct, model=checkpoints)
    prediction.save(tmp_path / "b")
    for name in ("points.csv", "vertebrae.nii.gz", "points.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not any("/" in note for note in prediction.notes), "nothing of a temporary folder"
    labels = tmp_path / "case_vert.nii.gz"
    options = vfseg.Options(vertebra_scheme="verse")
    vfseg.predict(ct, labels, model=checkpoints, options=options).save(tmp_path / "b")
    left = {path.name for path in (tmp_path / "b").iterdir()}
    assert not {"vertebrae.nii.gz", "points.png"} & left
    assert "points.csv" in left, "which somebody may have corrected"
    prediction.save(tmp_path / "b")
    mine = (tmp_path / "b" / "points.csv").read_text().replace("88.5", "88")
    (tmp_path / "b" / "points.csv").write_text(mine)
    with pytest.raises(UserError, match=r"points.csv: stands already, and may have been corrected"):
        prediction.save(tmp_path / "b")
    assert (tmp_path / "b" / "points.csv").read_text() == mine
    shutil.copyfile(labels, tmp_path / "b" / "vertebrae.nii.gz")
    vfseg.predict(ct, labels, model=checkpoints, options=options).save(tmp_path / "b")
    assert (tmp_path / "b" / "vertebrae.nii.gz").read_bytes() == labels.read_bytes()
    with pytest.raises(UserError, match="lowest is for vertebrae that are found"):
        vfseg.predict(ct, labels, model=checkpoints, options=vfseg.Options(lowest="L2"))
