"""Mode `plan`: from a data set on disk to a config that the project reads."""

import re
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

from tests.audit.data_set import SHAPE, write_case
from vfseg import main as program
from vfseg.commands import flags
from vfseg.commands.subcommands import as_flags, check
from vfseg.config.config import read_config
from vfseg.config.derive import load
from vfseg.data.cases import write_manifest
from vfseg.errors import UserError


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """Runs `vfseg plan` in an empty folder; each time the flags are put back."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        arguments = ["vfseg", "plan", *words]
        monkeypatch.setattr(sys, "argv", arguments)  # where ml_collections looks for the keys
        before = flagsaver.save_flag_values(flags.FLAGS)
        try:
            flags.parse(as_flags(arguments))
            check()
            program._dispatch()
        finally:
            flagsaver.restore_flag_values(before, flags.FLAGS)

    return run


def data_set(folder, *splits, **changes):
    """Three patients of three vertebrae at 2 mm, each with a lesion of 4 mm, or as is said."""
    cases = [
        write_case(folder, f"c{number}", seed=number, split=split, **changes)
        for number, split in enumerate(splits or ("train", "validation", "test"))
    ]
    write_manifest(folder / "manifest.csv", cases)
    return "--config.manifest=data/manifest.csv"


def test_a_config_for_the_data_set(tmp_path, planned, capsys):
    manifest = data_set(tmp_path / "data")
    planned(manifest, "--config.seed=7")
    printed = capsys.readouterr().out
    assert (tmp_path / "planned.py").read_text() in printed
    assert "3 cases, 3 of them usable: " in printed
    config = read_config(load(tmp_path / "planned.py"))
    assert config.manifest == "data/manifest.csv"
    assert (config.seed, config.prepare.vertebra_scheme) == (7, "")
    # Voxels of the data; L3 is 45 mm wide and 5 mm are around it: 55 mm, that is 27.5 voxels.
    assert config.prepare.voxel_spacing == 2.0
    assert config.prepare.crop_shape == (32, 32, 32)
    assert config.windows.planes == ("sagittal", "coronal")
    recipe = read_config(load(flags.PACKAGED_CONFIGS / "vertebral_fracture.py"))
    assert (config.augment, config.losses) == (recipe.augment, recipe.losses)


def test_a_file_that_stands_is_replaced_only_if_that_is_said(tmp_path, planned):
    manifest = data_set(tmp_path / "data")
    (tmp_path / "mine.py").write_text("mine")
    with pytest.raises(UserError, match=r"mine\.py: stands already\. .*--overwrite"):
        planned(manifest, "-o", "mine.py")
    assert (tmp_path / "mine.py").read_text() == "mine"
    planned(manifest, "-o", "mine.py", "--overwrite")
    assert "PLANNED" in (tmp_path / "mine.py").read_text()


def test_what_a_scheme_is_called_is_kept(tmp_path, planned):
    planned(data_set(tmp_path / "data"), "--vertebra-scheme", "verse")
    assert read_config(load(tmp_path / "planned.py")).prepare.vertebra_scheme == "verse"


def test_folds_validate_by_those_to_train_on(tmp_path, planned, capsys):
    planned(
        data_set(tmp_path / "data", *["train"] * 3), "--config.split.folds=3", "-o", "my own.py"
    )
    assert read_config(load(tmp_path / "my own.py")).split.folds == 3
    assert "vfseg run 'my own.py'" in capsys.readouterr().out, "to be pasted into a shell"


@pytest.mark.parametrize(
    ("splits", "changes", "words", "said"),
    [
        (("train", "test"), {}, (), "2 patients with a CT and vertebrae .*needs 3: .*Add cases"),
        (
            (),
            {"fractures": np.zeros(SHAPE, np.uint8)},
            (),
            "no fracture is marked in any case, so .*'fractures' of the manifest; .*real_bone",
        ),
        (("test", "test", "validation"), {}, (), "no fracture is marked in the cases to train on"),
        (("train", "train", "test"), {}, (), "no usable case in the split 'validation'.*'split'"),
        (("", "", "test"), {}, ("--config.split.validation=0.0",), "the split 'validation'"),
        ((), {}, ("-o", "planned.txt"), r"planned\.txt: a config ends in \.py"),
        ((), {}, ("--config.manifest=none.csv",), r"none\.csv: no such"),
        ((), {}, ("slice_classifier",), "only the Attention U-Net is planned"),
        ((), {}, ("--config.prepare.crop_shape=(20,20,20)",), "multiples of 8"),
    ],
)
def test_what_cannot_be_planned_is_said(tmp_path, planned, splits, changes, words, said):
    manifest = data_set(tmp_path / "data", *splits, **changes)
    with pytest.raises(UserError, match=re.compile(said, re.S)):
        planned(manifest, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["data"], "nothing else is left"


def test_what_is_left_of_a_plan_is_the_config(tmp_path, planned):
    planned(data_set(tmp_path / "data"), "-o", "mine.PY")
    assert {path.name for path in tmp_path.iterdir()} == {"data", "mine.PY"}


def test_a_case_whose_patient_is_named_is_counted_where_it_will_be(tmp_path, planned):
    """As its run does: the open scans are those of patients who test and validate."""
    data = tmp_path / "data"
    rows = [("P1", "train"), ("P2", "test"), ("p02", ""), ("P3", "validation"), ("P3", "")]
    cases = [
        write_case(data, f"c{number}", seed=number, patient=patient, split=split)
        for number, (patient, split) in enumerate(rows)
    ]
    write_manifest(data / "manifest.csv", cases)
    planned("--config.manifest=data/manifest.csv")
    assert "3 of 15 vertebrae to train on" in (tmp_path / "planned.py").read_text()
