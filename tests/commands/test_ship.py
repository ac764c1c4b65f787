"""From healthy CTs to a model that predicts from nothing but its own folder."""

import csv
import json

import pytest

from tests.cohort import tiny_config
from tests.program import vfseg
from vfseg.commands import ship as module
from vfseg.commands.ship import CARD, _spaced, ship
from vfseg.commands.workdir import Run
from vfseg.config.shipped import PARAMETERS
from vfseg.errors import UserError


def test_without_healthy_cts_there_is_nothing_to_ship(tmp_path):
    with pytest.raises(UserError, match=r"--mode ship needs healthy CTs: .*configs/real_bone.py"):
        ship(Run(tiny_config(), tmp_path))


def test_where_the_cts_come_from_must_be_said(tmp_path):
    config = tiny_config(
        **{"manifest": str(tmp_path / "manifest.csv"), "virtual_fractures.variants": 1}
    )
    with pytest.raises(UserError, match=r"ABOUT\.md: no such file"):
        ship(Run(config, tmp_path))


def test_of_several_processes_the_first_one_writes(tmp_path, monkeypatch):
    """The others have done their part of the run: they touch no folder of the model."""
    manifest = tmp_path / "manifest.csv"
    manifest.with_name("ABOUT.md").write_text("Phantoms.")
    config = tiny_config(**{"manifest": str(manifest), "virtual_fractures.variants": 1})
    ran = []
    monkeypatch.setattr(module, "run_all", ran.append)
    monkeypatch.setattr(module.processes, "is_first", lambda: False)
    ship(Run(config, tmp_path / "run"))
    assert len(ran) == 1
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(module.processes, "is_first", lambda: True)
    with pytest.raises(UserError, match="no checkpoints"):  # the first one goes on
        ship(Run(config, tmp_path / "run"))


def test_blocks_are_set_apart_and_tables_are_not():
    text = _spaced(["# A", "text", "| a |\n| --- |", "| 1 |", "", "- x", "- y"])
    assert text == "# A\n\ntext\n\n| a |\n| --- |\n| 1 |\n\n- x\n- y\n"


def test_a_run_on_virtual_fractures_becomes_a_model_with_its_card(tmp_path):
    """Phantoms without their masks stand for healthy CTs; the model then predicts by itself."""
    tiny = ["--config", "configs/quickstart.py:tiny"]
    vfseg(*tiny, "--workdir", tmp_path / "made", "--mode", "prepare")
    cases = tmp_path / "made" / "cohort" / "cases"
    lines = ["case_id,patient_id,ct,vertebrae,boxes,fractures,grades,split"]
    for number, split in enumerate(("train", "validation", "test")):
        folder = "made/cohort/cases/" + ("test_000", "train_000", "train_001")[number]
        lines.append(
            f"ct{number},p{number},{folder}/ct.nii.gz,{folder}/vertebrae.nii.gz,,,,{split}"
        )
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("\n".join(lines) + "\n")
    (tmp_path / "ABOUT.md").write_text("## Data\n\nPhantoms.\n")
    command = [*tiny, f"--config.manifest={manifest}", "--config.virtual_fractures.variants=1"]
    command.append("--vertebra-scheme=verse")
    printed = vfseg(*command, "--workdir", tmp_path / "run", "--mode", "ship")
    model = tmp_path / "run" / "model"
    assert str(model) in printed
    card = (model / CARD).read_text()
    assert "Research use only" in card
    assert "synthetic" in card
    assert card.endswith("## Data\n\nPhantoms.\n")
    for number, split in enumerate(("train", "validation", "test")):
        assert f"| ct{number} | {split} | " in card
    assert str(tmp_path) not in (model / "config.json").read_text()
    assert (model / PARAMETERS).stat().st_size > 0

    folder = cases / "train_001"
    out = tmp_path / "out"
    command = ["--mode", "predict", "--checkpoint", model, "--output", out]
    command.append("--vertebra-scheme=verse")
    vfseg(*command, "--input", folder / "ct.nii.gz", "--vertebrae", folder / "vertebrae.nii.gz")
    with open(out / "vertebrae.csv", newline="") as file:
        scores = {row["level"]: float(row["score"]) for row in csv.DictReader(file)}
    (line,) = [line for line in card.splitlines() if line.startswith("- ct2: ")]
    assert line == "- ct2: " + ", ".join(f"{level} {score:.3f}" for level, score in scores.items())
    assert json.loads((model / "thresholds.json").read_text())["chosen_on"] == "validation"
