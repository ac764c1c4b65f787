"""The command line in real processes: the whole tiny job, and what a user can get wrong."""

import csv
import gc
import json
import os
import re
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from absl.testing import flagsaver

from tests.program import vfseg
from vfseg import main as program
from vfseg.commands.flags import FLAGS, MODES
from vfseg.inference.settings import FUSIONS
from vfseg.stopping import Stopped

TINY = ["--config", "configs/quickstart.py:tiny"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished tiny run."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    printed = vfseg(*TINY, "--workdir", folder, anew=True)
    assert "voxel PR-AUC" in printed
    assert str(folder / "report" / "index.html") in printed
    return folder


def test_a_run_writes_the_files_of_the_contract(workdir):
    for name in ("config.json", "metrics.jsonl", "evaluation/cases.csv", "report/index.html"):
        assert (workdir / name).stat().st_size > 0
    assert list((workdir / "tensorboard").glob("events.*"))
    summary = json.loads((workdir / "evaluation" / "summary.json").read_text())
    assert summary["synthetic"] is True
    assert summary["split"] == "test"
    assert summary["cases"] == 1
    assert summary["threshold"]["chosen_on"] == "validation"
    for level in ("slice", "voxel"):
        assert set(summary[level]["dice"]) == {"value", "ci95", "n"}
        assert 0 <= summary[level]["pr_auc"]["value"] <= 1
        assert summary[level]["pr_auc"]["ci95"] is None, "one patient has no interval"
    for level, name in (("lesion", "average_precision"), ("vertebra", "pr_auc")):
        assert set(summary[level][name]) == {"value", "ci95", "n"}
    for name in ("vertebrae.csv", "truth_lesions.csv", "tables.csv", "states.npz"):
        assert (workdir / "evaluation" / name).stat().st_size > 0
    config = json.loads((workdir / "config.json").read_text())
    assert sum(config["stages"].values()) == 4


def test_maps_have_the_geometry_of_their_ct(workdir):
    ct = nib.load(workdir / "cohort" / "cases" / "test_000" / "ct.nii.gz")
    folder = workdir / "predictions" / "test_000"
    for name in ("probability.nii.gz", "mask.nii.gz"):
        image = nib.load(folder / name)
        assert image.shape == ct.shape
        np.testing.assert_array_equal(image.affine, ct.affine)
    probability = nib.load(folder / "probability.nii.gz").get_fdata()
    mask = nib.load(folder / "mask.nii.gz").get_fdata()
    threshold = json.loads((workdir / "evaluation" / "summary.json").read_text())["threshold"]
    # The stored map has steps of 1/65535, of which the threshold is one.
    inside = probability > 0
    np.testing.assert_array_equal(
        mask[inside] == 1, (probability >= threshold["value"] - 0.5 / 65535)[inside]
    )
    assert not mask[~inside].any()


def test_the_log_shows_the_discriminator_once_it_joins(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    train = {line["step"]: line for line in lines if "train/loss" in line}
    assert "train/discriminator_accuracy" not in train[2]
    assert 0 <= train[3]["train/discriminator_accuracy"] <= 1
    assert train[4]["train/adversarial_weight"] > 0


def test_a_second_run_redoes_nothing(workdir):
    kept = ("store/test_000/record.json", "checkpoints/4", "evaluation/summary.json")
    kept += ("predictions/test_000/mask.nii.gz", "report/index.html")
    before = {name: (workdir / name).stat().st_mtime_ns for name in kept}
    printed = vfseg(*TINY, "--workdir", workdir)
    assert "voxel PR-AUC" in printed
    assert before == {name: (workdir / name).stat().st_mtime_ns for name in kept}


def test_evaluate_restores_the_checkpoint_and_scores_the_same(workdir):
    path = workdir / "evaluation" / "summary.json"
    before = path.read_text()
    path.unlink()
    vfseg(*TINY, "--workdir", workdir, "--mode", "evaluate")
    assert path.read_text() == before


def test_two_runs_are_compared_on_the_same_cases(workdir, tmp_path):
    command = [*TINY, "--workdir", workdir, "--mode", "evaluate", "--compare"]
    shutil.copytree(workdir / "evaluation", tmp_path / "other" / "evaluation")
    printed = vfseg(*command, tmp_path / "other")
    assert "voxel pr_auc" in printed
    comparison = json.loads((workdir / "evaluation" / "comparison.json").read_text())
    assert comparison["other"] == str(tmp_path / "other")
    assert {row["difference"] for row in comparison["measures"]} <= {0, None}
    assert "not evaluated yet" in vfseg(*command, tmp_path, status=2)
    assert "--mode evaluate" in vfseg(*TINY, "--workdir", workdir, "--compare", tmp_path, status=2)


def test_all_rules_of_fusion_are_compared_by_one_command(workdir):
    command = [*TINY, "--workdir", workdir, "--fusions"]
    printed = vfseg(*command, "--mode", "evaluate")
    assert "The truth is synthetic" in printed
    with open(workdir / "evaluation" / "fusion.csv", newline="") as file:
        rows = {row["fusion"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(FUSIONS)
    summary = json.loads((workdir / "evaluation" / "summary.json").read_text())
    assert float(rows["mean"]["pr_auc"]) == pytest.approx(summary["voxel"]["pr_auc"]["value"], 1e-4)
    assert "--fusions goes with --mode evaluate" in vfseg(*command, status=2)


def test_phantoms_join_the_training_cases_of_a_manifest(workdir, tmp_path):
    cohort = tmp_path / "cohort"
    shutil.copytree(workdir / "cohort", cohort)
    manifest = cohort / "manifest.csv"
    command = [*TINY, "--workdir", tmp_path / "run", "--mode", "prepare"]
    command += [f"--config.manifest={manifest}", "--config.add_phantoms=True"]
    assert "names that phantoms have, too" in vfseg(*command, status=2)
    manifest.write_text(
        re.sub(r"^(train|validation|test)_", r"own_\1_", manifest.read_text(), flags=re.M)
    )
    vfseg(*command)
    with open(tmp_path / "run" / "splits.csv", newline="") as file:
        cases = {row["case_id"]: row["split"] for row in csv.DictReader(file)}
    own = {name for name in cases if name.startswith("own_")}
    assert own == {"own_train_000", "own_train_001", "own_validation_000", "own_test_000"}
    assert set(cases) - own == {"train_000", "train_001", "validation_000"}, "what is tested is own"


def test_predict_writes_map_and_mask_and_keeps_them(workdir, tmp_path):
    case = workdir / "cohort" / "cases" / "test_000"
    command = ["--mode", "predict", "--workdir", workdir, "--input", case / "ct.nii.gz"]
    command += ["--vertebrae", case / "vertebrae.nii.gz", "--output", tmp_path / "out"]
    command += ["--vertebra-scheme=verse"]
    printed = vfseg(*command)
    assert "Research use only" in printed
    assert "synthetic" in printed
    assert "mL" in printed
    want = nib.load(workdir / "predictions" / "test_000" / "probability.nii.gz").get_fdata()
    written = nib.load(tmp_path / "out" / "probability.nii.gz")
    description = bytes(written.header["descrip"]).rstrip(b"\0").decode()
    assert description == "vfseg: research use only; trained on synthetic fractures"
    got = written.get_fdata()
    np.testing.assert_allclose(got, want, atol=1e-6)
    vertebrae = (tmp_path / "out" / "vertebrae.csv").read_text()
    assert "trained_on,use" in vertebrae
    assert "synthetic,research only" in vertebrae
    mask = tmp_path / "out" / "mask.nii.gz"
    written = mask.stat().st_mtime_ns
    assert "--overwrite" in vfseg(*command)
    assert mask.stat().st_mtime_ns == written
    mask.unlink()
    vfseg(*command)
    assert mask.exists(), "half a result does not stand"


def _other_grid(case, folder):
    """The case's label map moved by 3 mm."""
    image = nib.load(case / "vertebrae.nii.gz")
    affine = image.affine.copy()
    affine[0, 3] += 3
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), folder / "moved.nii.gz")
    return folder / "moved.nii.gz"


def test_predict_names_what_is_wrong_with_its_input(workdir, tmp_path):
    case = workdir / "cohort" / "cases" / "test_000"
    ct, labels = case / "ct.nii.gz", case / "vertebrae.nii.gz"
    text = tmp_path / "text.nii.gz"
    text.write_text("not a volume")
    output = tmp_path / "out"
    base = ["--mode", "predict", "--workdir", workdir, "--output", output]
    for arguments, said in (
        (["--input", text, "--vertebrae", labels], "text.nii.gz"),
        (["--input", ct, "--vertebrae", _other_grid(case, tmp_path)], "moved.nii.gz does not lie"),
        (["--vertebrae", labels], "--input"),
    ):
        assert said in vfseg(*base, *arguments, status=2)
        assert not output.exists(), "nothing half-written"


@pytest.mark.parametrize("mode", ["run", "evaluate"])
def test_a_changed_config_is_named_key_by_key(workdir, mode):
    before = (workdir / "checkpoints" / "thresholds.json").read_text()
    changed = ["--config.stages.recurrent=5", "--config.inference.fusion=vote"]
    message = vfseg(*TINY, "--workdir", workdir, "--mode", mode, *changed, status=2)
    assert "config.stages.recurrent: 2 -> 5" in message
    assert "config.inference.fusion: mean -> vote" in message
    assert (workdir / "checkpoints" / "thresholds.json").read_text() == before


def test_changed_cases_are_noticed(workdir, tmp_path):
    """A changed test case is scored again; a changed training case needs a workdir of its own."""
    cohort, copy = tmp_path / "cohort", tmp_path / "run"
    shutil.copytree(workdir / "cohort", cohort)
    manifest = [*TINY, "--workdir", copy, f"--config.manifest={cohort / 'manifest.csv'}"]
    manifest.append("--config.stages.adversarial=0")  # one program less to compile
    vfseg(*manifest)
    summary = copy / "evaluation" / "summary.json"
    before = json.loads(summary.read_text())
    _roll_fractures(cohort / "cases" / "test_000")
    vfseg(*manifest)
    after = json.loads(summary.read_text())
    assert after["voxel"] != before["voxel"]
    assert after["step"] == before["step"]
    _roll_fractures(cohort / "cases" / "train_000")
    assert "training or validation cases changed" in vfseg(*manifest, status=2)


def _roll_fractures(case):
    """Moves the case's fracture mask by 12 voxels."""
    image = nib.load(case / "fractures.nii.gz")
    moved = np.roll(np.asarray(image.dataobj), 12, axis=0)
    nib.save(nib.Nifti1Image(moved, image.affine, image.header), case / "fractures.nii.gz")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", "configs/none.py"], "configs/quickstart.py"),
        (["--config=configs/none.py", "--config.seed=1"], "configs/none.py: no such file. There"),
        ([*TINY, "--config.train.patienc=3"], "Did you mean --config.train.patience?"),
        ([*TINY, "--config.train.patience=many"], "--config.train.patience=many"),
        ([*TINY, "--wrkdir=x"], "wrkdir"),
        ([*TINY, "--mode=trian"], f"expected one of {', '.join(MODES)}"),
        ([*TINY, "stray"], "'stray'"),
        (["--workdir=x"], "--config"),
        (["--config", "configs/quickstart.py:huge"], "no variant 'huge'"),
        ([*TINY, "--checkpoint=runs/x"], "--checkpoint goes with --mode predict"),
        ([*TINY, "--overwrite"], "--overwrite goes with --mode predict"),
        ([*TINY, "--output=x"], "--output goes with --mode predict, show, pick, find, plan, ship"),
        ([*TINY, "--config.windows.length=4"], "odd"),
    ],
)
def test_what_a_user_can_mistype_is_answered(tmp_path, arguments, said):
    workdir = [] if {"--wrkdir=x", "--workdir=x"} & {*arguments} else ["--workdir", tmp_path / "w"]
    assert said in vfseg(*arguments, *workdir, status=2)
    assert not list(tmp_path.iterdir()), "nothing was begun"


@pytest.fixture
def _flags_as_before():
    """The flags of this process are as they were, after a test that gives it some."""
    before = flagsaver.save_flag_values(FLAGS)
    yield
    flagsaver.restore_flag_values(before, FLAGS)


@pytest.fixture
def _prepared_already(monkeypatch):
    """In this process JAX and its log are as tests need them."""
    for name in ("_prepare_logging", "_prepare_jax"):
        monkeypatch.setattr(program, name, lambda: None)


@pytest.mark.usefixtures("_prepared_already", "_flags_as_before")
@pytest.mark.parametrize(
    ("ends", "status", "said"),
    [
        (Stopped("SIGTERM: stopped. 2 of 3 are kept.", 143), 143, "SIGTERM: stopped. 2 of 3"),
        (KeyboardInterrupt(), 130, "what was finished is kept, and the same command does the rest"),
        (MemoryError("no 9 GB"), 2, "there is not enough memory (MemoryError: no 9 GB). Free some"),
    ],
    ids=["stopped", "interrupted", "full"],
)
def test_a_program_that_does_not_come_to_its_end_says_so(monkeypatch, capsys, ends, status, said):
    def work():
        raise ends

    monkeypatch.setattr(program, "_work", work)
    assert program.main(["vfseg", *TINY, "--mode=audit"]) == status
    printed = capsys.readouterr().err
    assert printed.startswith("vfseg: ")
    assert said in printed


@pytest.mark.usefixtures("_flags_as_before")
def test_rubbish_is_collected_while_the_program_works_and_after_it(monkeypatch):
    """Not while it starts: what is imported is not looked through again and again."""
    seen = {}
    monkeypatch.setattr(program, "_prepare_logging", lambda: None)
    monkeypatch.setattr(program, "_prepare_jax", lambda: seen.update(start=gc.isenabled()))
    monkeypatch.setattr(
        "vfseg.commands.predict.predict", lambda _: seen.update(work=gc.isenabled())
    )
    monkeypatch.setattr("vfseg.commands.request.look_at", lambda _: None)
    assert program.main(["vfseg", "--mode=predict", "--input=.", "--output=y"]) == 0
    assert seen == {"start": False, "work": True}
    assert program.main(["vfseg", "--mode=none"]) == 2
    assert gc.isenabled()


def test_nothing_is_imported_at_the_start_that_only_a_later_part_of_the_work_needs():
    code = "import sys, vfseg.commands.run, vfseg.commands.predict; print(*sys.modules)"
    started = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    late = {"grain", "matplotlib.axes", "scipy.optimize", "trimesh"}
    assert {"vfseg.training.loop", "jax"} <= set(started.stdout.split())
    assert not late & set(started.stdout.split())


@pytest.mark.usefixtures("_flags_as_before")
def test_help_says_that_a_config_is_executed(capsys):
    assert program.main(["vfseg", "--help"]) == 0
    assert "A config file is Python, and is executed" in capsys.readouterr().out


def test_a_config_that_is_not_python_is_named(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def get_config(:\n")
    assert "broken.py" in vfseg("--config", broken, status=2)


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "cannot be written" in vfseg(*TINY, "--workdir", blocked / "w", status=2)


def test_evaluate_and_report_say_what_is_missing(tmp_path, workdir):
    os.symlink(workdir / "cohort", tmp_path / "cohort")
    os.symlink(workdir / "store", tmp_path / "store")
    assert "Train first" in vfseg(*TINY, "--workdir", tmp_path, "--mode=evaluate", status=2)
    assert "--mode evaluate" in vfseg(*TINY, "--workdir", tmp_path, "--mode=report", status=2)
