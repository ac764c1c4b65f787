"""From healthy CTs to a model that predicts from nothing but its own folder."""

import csv
import json
import re
from unittest.mock import Mock

import pytest

from tests.cohort import tiny_config
from tests.program import vfseg
from vfseg.commands import ship as module
from vfseg.commands.ship import CARD, ship
from vfseg.commands.workdir import Run
from vfseg.config.shipped import PARAMETERS
from vfseg.errors import UserError
from vfseg.json_files import read_json


def test_without_healthy_cts_there_is_nothing_to_ship(tmp_path):
    with pytest.raises(UserError, match=r"--mode ship needs healthy CTs: .*configs/real_bone.py"):
        ship(Run(tiny_config(), tmp_path))


def test_where_the_cts_come_from_must_be_said(tmp_path):
    config = tiny_config(
        **{"manifest": str(tmp_path / "manifest.csv"), "virtual_fractures.variants": 1}
    )
    with pytest.raises(UserError, match=r"ABOUT\.md: no such file"):
        ship(Run(config, tmp_path))


def test_of_two_patients_nobody_would_be_left_to_train_on(tmp_path):
    header = "case_id,patient_id,ct,vertebrae,boxes,fractures,grades,split\n"
    for name in "ab":  # that they are empty would be found later
        (tmp_path / f"{name}.nii.gz").touch()
    lines = "".join(f"{name},{name},{name}.nii.gz,,,,,\n" for name in "ab")
    (tmp_path / "manifest.csv").write_text(header + lines)
    (tmp_path / "ABOUT.md").write_text("Phantoms.")
    config = tiny_config(
        **{"manifest": str(tmp_path / "manifest.csv"), "virtual_fractures.variants": 1}
    )
    with pytest.raises(UserError, match=r"2 patients, and --mode ship needs at least 3"):
        ship(Run(config, tmp_path))


def test_spellings_of_one_patient_are_left_out_together(tmp_path, monkeypatch):
    """P01, p01 and sub-P1 are one: in each part all have one split, and are in no other."""
    header = "case_id,patient_id,ct,vertebrae,boxes,fractures,grades,split\n"
    people = {"a": "P01", "b": "x", "c": "p01", "d": "y", "e": "sub-P1"}
    for name in people:
        (tmp_path / f"{name}.nii.gz").touch()
    lines = "".join(f"{name},{who},{name}.nii.gz,,,,,\n" for name, who in people.items())
    (tmp_path / "manifest.csv").write_text(header + lines)
    (tmp_path / "ABOUT.md").write_text("Phantoms.")
    config = tiny_config(
        **{"manifest": str(tmp_path / "manifest.csv"), "virtual_fractures.variants": 1}
    )
    parts, judged = [], []
    monkeypatch.setattr(module, "train", parts.append)
    monkeypatch.setattr(module, "load_trained", lambda _: Mock(step=1))
    monkeypatch.setattr(module, "_fold", Mock())
    monkeypatch.setattr(
        module, "judge_out_of_fold", lambda folds: (["found"] * len(folds), "thresholds")
    )
    monkeypatch.setattr(module, "write_out_of_fold", Mock())
    monkeypatch.setattr(module, "_judged", lambda part, *_: judged.append(part))
    monkeypatch.setattr(module, "_write", Mock())
    ship(Run(config, tmp_path / "run"))
    one = ("P01", "p01", "sub-P1")
    assert [part.split_of for part in parts] == [
        {**dict.fromkeys(one, "test"), "x": "validation", "y": "train"},
        {**dict.fromkeys(one, "train"), "x": "test", "y": "validation"},
        {**dict.fromkeys(one, "validation"), "x": "train", "y": "test"},
        {**dict.fromkeys(one, "train"), "x": "train", "y": "validation"},
    ]
    assert [(part.patient, [case.case_id for case in part.healthy]) for part in judged] == [
        ("P01", ["a", "c", "e"]),
        ("x", ["b"]),
        ("y", ["d"]),
    ]


def test_beside_phantoms_which_validate_all_others_train(tmp_path, monkeypatch):
    header = "case_id,patient_id,ct,vertebrae,boxes,fractures,grades,split\n"
    for name in "abc":
        (tmp_path / f"{name}.nii.gz").touch()
    lines = "".join(f"{name},{name},{name}.nii.gz,,,,,\n" for name in "abc")
    (tmp_path / "manifest.csv").write_text(header + lines)
    (tmp_path / "ABOUT.md").write_text("Phantoms.")
    config = tiny_config(
        **{
            "manifest": str(tmp_path / "manifest.csv"),
            "virtual_fractures.variants": 1,
            "add_phantoms": True,
        }
    )
    parts = []
    monkeypatch.setattr(module, "train", parts.append)
    monkeypatch.setattr(module, "load_trained", Mock(side_effect=UserError("trained")))
    with pytest.raises(UserError, match="trained"):
        ship(Run(config, tmp_path / "run"))
    everyone = dict.fromkeys("abc", "train")
    assert [part.split_of for part in parts] == [
        *({**everyone, name: "test"} for name in "abc"),
        everyone,
    ]


def test_a_run_on_virtual_fractures_becomes_a_model_with_its_card(tmp_path):
    """Phantoms without their masks stand for healthy CTs; the model then predicts by itself."""
    tiny = ["--config", "configs/quickstart.py:tiny"]
    vfseg(*tiny, "--workdir", tmp_path / "made", "--mode", "prepare")
    cases = tmp_path / "made" / "cohort" / "cases"
    lines = ["case_id,patient_id,ct,vertebrae,boxes,fractures,grades,split"]
    names = ("test_000", "train_000", "train_001")
    for number, name in enumerate(names):
        folder = f"made/cohort/cases/{name}"
        lines.append(f"ct{number},p{number},{folder}/ct.nii.gz,{folder}/vertebrae.nii.gz,,,,")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n")
    (tmp_path / "ABOUT.md").write_text("## Data\n\nPhantoms.\n")
    command = [*tiny, f"--config.manifest={manifest}", "--config.virtual_fractures.variants=1"]
    # The discriminator says nothing about a card, and is a second program to compile for each part.
    command += ["--vertebra-scheme=verse", "--config.stages.adversarial=0"]
    printed = vfseg(*command, "--workdir", tmp_path / "run", "--mode", "ship")
    model = tmp_path / "run" / "model"
    assert str(model) in printed
    card = (model / CARD).read_text()
    assert card in printed
    assert "Research use only" in card
    assert "synthetic" in card
    assert card.endswith("## Data\n\nPhantoms.\n")
    for number in range(3):
        assert f"| p{number} | 1 | " in card  # a virtual case each, left out once
        assert re.search(rf"^\| ct{number} \| 2 \| ", card, re.MULTILINE)
        with open(tmp_path / "run" / "left-out" / f"ct{number}" / "splits.csv") as file:
            split_of = {row["patient_id"]: row["split"] for row in csv.DictReader(file)}
        patients = [f"p{(number + step) % 3}" for step in range(3)]
        assert [split_of[p] for p in patients] == ["test", "validation", "train"]
    with open(tmp_path / "run" / "all" / "splits.csv") as file:
        split_of = {row["patient_id"]: row["split"] for row in csv.DictReader(file)}
    assert [split_of[f"p{number}"] for number in range(3)] == ["train", "train", "validation"]
    summary = read_json(tmp_path / "run" / "evaluation" / "summary.json")
    assert (summary["split"], summary["cases"]) == ("out of fold", 3)
    assert str(tmp_path) not in (model / "config.json").read_text()
    assert (model / PARAMETERS).stat().st_size > 0
    assert json.loads((model / "thresholds.json").read_text())["verdict"] is not None

    folder, out = cases / "train_001", tmp_path / "out"
    command = ["--mode", "predict", "--checkpoint", model, "--output", out]
    command.append("--vertebra-scheme=verse")
    vfseg(*command, "--input", folder / "ct.nii.gz", "--vertebrae", folder / "vertebrae.nii.gz")
    with open(out / "vertebrae.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
