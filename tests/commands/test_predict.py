"""Mode `predict` with an untrained tiny model: what is written, and what is said of bad input."""

import csv
import logging
import os
import re
import signal
from html import escape
from pathlib import Path

import jax
import nibabel as nib
import numpy as np
import pytest

from tests.cohort import tiny_config
from vfseg.commands import case_result as command
from vfseg.commands.predict import Request, predict
from vfseg.config.recipe import initial_state
from vfseg.data.geometry import geometry_from
from vfseg.data.settings import SpineReading
from vfseg.data.volume import read_geometry, write_ct, write_labels
from vfseg.errors import UserError
from vfseg.files import read_table
from vfseg.inference.estimate import result_bytes
from vfseg.inference.thresholds import Thresholds, save_thresholds
from vfseg.stopping import STOP, Stopped
from vfseg.training.checkpoints import Checkpoints

SPACING = (1.0, 1.0, 1.5)
VERSE_L1, VERSE_L2, VERSE_C3 = 20, 21, 3


def save_model(folder, scaled=1, **changes):
    """Checkpoints of an untrained tiny model, with thresholds at its highest answers."""
    config = tiny_config(**changes)
    state = initial_state(config)
    state = state.replace(ema_params=jax.tree.map(lambda x: scaled * x, state.ema_params))
    checkpoints = Checkpoints(folder / "checkpoints", create=True)
    checkpoints.save(state, next_sample=0, config=config.to_dict())
    checkpoints.score(int(state.step), 0.5)
    thresholds = Thresholds(slice=0.01, fused=0.01, vertebra=0.5, temperature=1.0)
    save_thresholds(folder / "checkpoints", int(state.step), thresholds, config.inference.fusion)
    return folder / "checkpoints"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


def write_case(folder, labels=(VERSE_L1, VERSE_L2)):
    """A CT of noise with blocks for vertebrae, caudal ones below; paths of CT, label map, boxes."""
    grid = geometry_from((40, 36, 60), np.diag([*SPACING, 1.0]))
    rng = np.random.default_rng(0)
    ct = rng.integers(-100, 300, grid.shape).astype(np.int16)
    vertebrae, lines = np.zeros(grid.shape, np.uint8), []
    for number, label in enumerate(labels):
        top = 48 - 22 * number
        vertebrae[top - 14 : top, 8:28, 8:32] = label
        lines.append(f"{label},8,32,8,28,{top - 14},{top}\n")  # stored: right, anterior, superior
    write_ct(folder / "case_ct.nii.gz", ct, grid)
    write_labels(folder / "case_vert.nii.gz", vertebrae, grid)
    (folder / "case_boxes.csv").write_text("id,x0,x1,y0,y1,z0,z1\n" + "".join(lines))
    return folder / "case_ct.nii.gz", folder / "case_vert.nii.gz", folder / "case_boxes.csv"


def run(ct, output, checkpoints, **changes):
    reading = SpineReading(vertebra_scheme="verse")
    predict(Request(input=ct, output=output, model=checkpoints, reading=reading, **changes))


@pytest.fixture
def undrawn(monkeypatch):
    """For tests that are not about pictures."""
    monkeypatch.setattr("vfseg.report.case.draw_case", lambda *_: None)


def load(path):
    return np.asarray(nib.load(path).dataobj)


def test_maps_are_written_as_they_are_told(tmp_path, checkpoints, capsys):
    ct, labels, boxes = write_case(tmp_path)
    run(ct, tmp_path / "a", checkpoints, vertebrae=labels)
    printed = capsys.readouterr().out
    assert "40x36x60 voxels, at most about" in printed
    assert printed.index("at most about") < printed.index("level  verdict"), "before it begins"
    assert "no uncertainty.nii.gz: this model predicts every voxel once" in printed
    assert not (tmp_path / "a" / "uncertainty.nii.gz").exists()
    probability, mask = (load(tmp_path / "a" / f"{n}.nii.gz") for n in ("probability", "mask"))
    assert nib.load(tmp_path / "a" / "probability.nii.gz").get_data_dtype() == np.uint16
    assert nib.load(tmp_path / "a" / "mask.nii.gz").get_data_dtype() == np.uint8
    assert probability.shape == mask.shape == nib.load(ct).shape
    # The threshold is a stored step or lies half a step away from one at most.
    inside = probability > 0
    np.testing.assert_array_equal(mask[inside] == 1, probability[inside] >= 0.01 - 0.5 / 65535)
    volume = mask.sum() * np.prod(SPACING) / 1000
    assert f"volume at the threshold: {volume:.3f} mL" in printed
    said = re.findall(r"^(?:L\d: |No sign ).*", printed, re.M)
    page = (tmp_path / "a" / "page.html").read_text()
    assert printed.endswith(f"written: {tmp_path / 'a'}; open {tmp_path / 'a' / 'page.html'}\n")
    assert said
    assert all(escape(sentence) in re.sub("<[^>]+>", "", page) for sentence in said)
    run(ct, tmp_path / "b", checkpoints, boxes=boxes)
    assert load(tmp_path / "b" / "probability.nii.gz").max() > 0


@pytest.mark.usefixtures("undrawn")
def test_a_case_has_the_name_of_its_ct_however_it_is_predicted(
    tmp_path, checkpoints, capsys, monkeypatch
):
    """With a label map or boxes, in any folder, the current one included; and among others."""
    (tmp_path / "in").mkdir()
    (tmp_path / "here").mkdir()
    ct, labels, boxes = write_case(tmp_path / "in")
    monkeypatch.chdir(tmp_path / "here")
    found = []
    for output, known in ((Path(), {"boxes": boxes}), (tmp_path / "x", {"vertebrae": labels})):
        run(ct, output, checkpoints, **known)
        found.append((output / "vertebrae.csv").read_text().split("\n")[1].split(",")[0])
        found.append(capsys.readouterr().out.split(": 40x36x60")[0].split("\n")[-1])
    run(tmp_path / "in", tmp_path / "y", checkpoints)
    found += [path.name for path in (tmp_path / "y").iterdir() if path.is_dir()]
    assert set(found) == {"case"}


@pytest.mark.usefixtures("undrawn")
def test_several_views_give_an_uncertainty_map_and_one_view_takes_it_away(
    tmp_path, checkpoints, capsys
):
    ct, labels, _ = write_case(tmp_path)
    several = save_model(
        tmp_path, **{"inference.planes": ("axial", "sagittal"), "inference.flips": True}
    )
    run(ct, tmp_path / "out", several, vertebrae=labels)
    assert "standard deviation over 4 predictions of each crop" in capsys.readouterr().out
    spread = load(tmp_path / "out" / "uncertainty.nii.gz")
    probability = load(tmp_path / "out" / "probability.nii.gz")
    assert spread.shape == probability.shape
    assert spread.max() > 0
    assert not spread[probability == 0].any()
    written = sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert written < result_bytes(read_geometry(ct), tiny_config().prepare, 4)
    # Of values between 0 and 1 with mean m, no variance exceeds m (1 - m).
    assert (spread**2 <= probability * (1 - probability) + 1e-3).all()
    run(ct, tmp_path / "out", checkpoints, vertebrae=labels, overwrite=True)
    assert not (tmp_path / "out" / "uncertainty.nii.gz").exists(), "it belongs to other maps"


def test_no_vertebra_of_t4_to_l5_is_named(tmp_path, checkpoints):
    ct, labels, boxes = write_case(tmp_path, labels=(VERSE_C3,))
    with pytest.raises(UserError, match=r"case_boxes.csv: .*T4 to L5.* found 3"):
        run(ct, tmp_path / "out", checkpoints, boxes=boxes)
    with pytest.raises(UserError, match=r"case_vert.nii.gz: .*T4"):
        run(ct, tmp_path / "out", checkpoints, vertebrae=labels)
    assert not (tmp_path / "out").exists(), "nothing half-written"


def test_a_box_partly_outside_the_ct_is_named(tmp_path, checkpoints):
    ct, _, boxes = write_case(tmp_path)
    boxes.write_text(boxes.read_text().replace("20,8,32", "20,8,41"))
    with pytest.raises(UserError, match=r"line 2: box of 20 leaves the volume: x from 8 to 41"):
        run(ct, tmp_path / "out", checkpoints, boxes=boxes)
    assert not (tmp_path / "out").exists()


def _cohort(folder, names):
    lines = ["case_id,patient_id,ct,vertebrae,boxes,fractures,grades,split"]
    for name in names:
        (folder / name).mkdir(parents=True)
        write_case(folder / name)
        lines.append(f"{name},{name},{name}/case_ct.nii.gz,,{name}/case_boxes.csv,,,")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.usefixtures("undrawn")
def test_one_bad_case_among_many_is_named_and_the_others_are_written(tmp_path, checkpoints, capsys):
    folder = _cohort(tmp_path / "cases", ["a", "b", "c", "d"])
    boxes = folder / "b" / "case_boxes.csv"
    boxes.write_text(boxes.read_text().replace("20,8,32", "20,8,99"))
    ct = folder / "c" / "case_ct.nii.gz"
    ct.write_bytes(ct.read_bytes()[:-200])
    run(folder, tmp_path / "out", checkpoints)
    printed = capsys.readouterr().out
    assert "left out, 2 of 4:" in printed
    assert "b: " in printed
    assert "leaves the volume" in printed
    assert "damaged or cut short" in printed
    written = sorted(path.parent.name for path in (tmp_path / "out").rglob("probability.nii.gz"))
    assert written == ["a", "d"]
    out = tmp_path / "out"
    _, rows = read_table(out / "vertebrae.csv")
    listed = [(row.cells["case_id"], row.cells["level"]) for row in rows]
    assert listed == [("a", "L1"), ("a", "L2"), ("d", "L1"), ("d", "L2")]
    assert f"4 vertebrae of 2 cases: {out / 'vertebrae.csv'}, {out / 'index.html'}" in printed


@pytest.mark.usefixtures("undrawn")
def test_what_no_check_foresaw_is_a_matter_of_its_case_alone(
    tmp_path, checkpoints, capsys, monkeypatch
):
    folder, real = _cohort(tmp_path / "cases", ["a", "b"]), command.predict_case

    def fails_at_a(case, *arguments, **named):
        if case.case_id == "a":
            raise RuntimeError("out of luck")
        return real(case, *arguments, **named)

    monkeypatch.setattr(command, "predict_case", fails_at_a)
    run(folder, tmp_path / "out", checkpoints)
    assert "a: RuntimeError: out of luck" in capsys.readouterr().out
    assert (tmp_path / "out" / "b" / "mask.nii.gz").exists()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("overwrite", [False, True])
def test_it_ends_after_the_case_at_hand_where_it_is_asked_to(
    tmp_path, checkpoints, capsys, monkeypatch, overwrite
):
    folder, real = _cohort(tmp_path / "cases", ["a", "b", "c"]), command.predict_case
    tried = []

    def asked_in_the_middle(case, *arguments, **named):
        tried.append(case.case_id)
        if case.case_id == "b":
            os.kill(os.getpid(), signal.SIGTERM)
        return real(case, *arguments, **named)

    monkeypatch.setattr(command, "predict_case", asked_in_the_middle)
    with STOP.listening(), pytest.raises(Stopped) as stopped:
        run(folder, tmp_path / "out", checkpoints, overwrite=overwrite)
    assert stopped.value.status == 143
    again = "the same command without --overwrite" if overwrite else "the same command"
    assert str(stopped.value) == (
        f"SIGTERM: stopped. {tmp_path / 'out'}: 2 of 3 cases predicted, which are kept; {again} "
        "predicts the others."
    )
    run(folder, tmp_path / "out", checkpoints)
    assert "2 results stand and are kept" in capsys.readouterr().out
    assert tried == ["a", "b", "c"], "the message is true"
    assert (tmp_path / "out" / "c" / "vertebrae.csv").exists()


def test_what_is_missing_or_too_much_is_named(tmp_path, checkpoints):
    ct, labels, boxes = write_case(tmp_path)
    for path, known, said in (
        (tmp_path / "no.nii.gz", {"vertebrae": labels}, r"no\.nii\.gz: no such file"),
        (ct, {}, "--vertebrae"),
        (ct, {"vertebrae": labels, "boxes": boxes}, "Give one of them"),
    ):
        with pytest.raises(UserError, match=said):
            run(path, tmp_path / "out", checkpoints, **known)
        assert not (tmp_path / "out").exists(), "nothing half-written"


def test_no_case_at_all_is_an_error(tmp_path, checkpoints):
    folder = _cohort(tmp_path / "cases", ["a", "b"])
    for boxes in folder.rglob("case_boxes.csv"):
        boxes.write_text("id,x0,x1,y0,y1,z0,z1\n")
    with pytest.raises(UserError, match="no case could be predicted"):
        run(folder, tmp_path / "out", checkpoints)


def _say_units_are_lost(ct):
    image = nib.load(ct)
    values = np.asarray(image.dataobj) + np.int16(1100)
    nib.save(nib.Nifti1Image(values, image.affine), ct)


def test_a_ct_that_is_not_in_hounsfield_units_is_refused_and_costs_nothing(tmp_path, checkpoints):
    """In the words of the audit; results that stood stand."""
    ct, labels, _ = write_case(tmp_path)
    run(ct, tmp_path / "out", checkpoints, vertebrae=labels)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    _say_units_are_lost(ct)
    with pytest.raises(UserError, match=r"case_ct.nii.gz: all values are positive .*intercept"):
        run(ct, tmp_path / "out", checkpoints, vertebrae=labels, overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_results_among_the_cases_are_kept_and_are_no_cases(tmp_path, checkpoints, capsys):
    (tmp_path / "p1").mkdir()
    for path, name in zip(write_case(tmp_path / "p1"), ("ct.nii.gz", "vertebrae.nii.gz", "b.csv")):
        path.rename(path.with_name(name))
    (tmp_path / "p1" / "b.csv").unlink()
    run(tmp_path, tmp_path / "results", checkpoints)
    assert (tmp_path / "results" / "p1" / "mask.nii.gz").exists()
    capsys.readouterr()
    run(tmp_path, tmp_path / "results", checkpoints)
    assert "the result stands and is kept" in capsys.readouterr().out
    written = {path.name for path in (tmp_path / "results").iterdir()}
    assert written == {"p1", "vertebrae.csv", "index.html"}
    (tmp_path / "results" / "probability.nii.gz").touch()  # that of one CT has a list beside it
    with pytest.raises(UserError, match="holds the results of one CT"):
        run(tmp_path, tmp_path / "results", checkpoints)


@pytest.mark.usefixtures("undrawn")
def test_what_was_predicted_one_by_one_is_listed_together(tmp_path, checkpoints, capsys):
    """As by an array of jobs, a task for each folder, which is named as its case is."""
    for name in ("p1", "p2"):
        (tmp_path / "data" / name).mkdir(parents=True)
        ct, labels, boxes = write_case(tmp_path / "data" / name)
        boxes.unlink()
        ct, labels = ct.rename(ct.with_name("ct.nii.gz")), labels.rename(ct.with_name("v.nii.gz"))
        run(ct, tmp_path / "results" / name, checkpoints, vertebrae=labels)
    maps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("results/*/mask.nii.gz")}
    capsys.readouterr()
    run(tmp_path / "data", tmp_path / "results", checkpoints)
    said = capsys.readouterr().out
    assert "2 results stand and are kept" in said
    assert "4 vertebrae of 2 cases" in said
    assert {path: path.stat().st_mtime_ns for path in maps} == maps
    rows = [row.cells["case_id"] for row in read_table(tmp_path / "results/vertebrae.csv")[1]]
    assert rows == ["p1", "p1", "p2", "p2"]


def test_what_is_odd_about_a_ct_is_said(tmp_path, checkpoints, caplog, monkeypatch):
    """Slices far apart, everywhere; two forms of the header that disagree."""
    drawn = []
    monkeypatch.setattr("vfseg.report.case.draw_case", lambda *given: drawn.append(given))
    ct, labels, _ = write_case(tmp_path)
    for path in (ct, labels):
        image = nib.load(path)
        affine = image.affine @ np.diag([1, 1, 10 / 3, 1])  # 5 mm
        image = nib.Nifti1Image(np.asarray(image.dataobj)[:, :, ::3], affine)
        image.set_qform(affine, 1)
        image.header["qoffset_x"] += 4 * (path == ct)
        nib.save(image, path)
    with caplog.at_level(logging.WARNING, logger="absl"):
        run(ct, tmp_path / "out", checkpoints, vertebrae=labels)
    assert "case: slices 5 mm apart: outside the range on which the model was tr" in caplog.text
    trained = "model trained on synthetic fractures; outside its range: slices 5 mm apart"
    ((scene, about, _),) = drawn
    assert scene.title == f"case ({trained})"
    assert (about.name, about.synthetic, about.outside) == ("case", True, "slices 5 mm apart")
    assert "case_ct.nii.gz: sform and qform put corners up to 4 mm apart" in caplog.text
    for name in ("vertebrae.csv", "lesions.csv"):
        with open(tmp_path / "out" / name, newline="") as file:
            table = csv.DictReader(file)
            assert "outside_training" in (table.fieldnames or ())
            assert {row["outside_training"] for row in table} <= {"slices 5 mm apart"}
