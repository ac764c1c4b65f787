"""The study of planned configs: steps of equal time, maps scored on the same voxels."""

import json

import numpy as np
import pytest

from benchmarks.studies import plan
from tests.cohort import tiny_config
from tests.config.planning import RECIPE, recipe
from tests.data.nifti_files import write_probability
from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import write_ct, write_labels
from vfseg.evaluation.compare import compare_states
from vfseg.training.settings import StageSettings
from vfseg.training.stages import share_out

SHAPE = (40, 40, 40)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


@pytest.fixture
def case(tmp_path):
    """A vertebra in the middle of a CT of 2 mm, with a fracture of 10 voxels."""
    geometry = geometry_from(SHAPE, AFFINE)
    labels, fractures = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    labels[14:26, 12:28, 10:30] = 20
    fractures[20, 20, 15:25] = 1
    write_ct(tmp_path / "ct.nii.gz", np.full(SHAPE, -1000, np.int16), geometry)
    write_labels(tmp_path / "v.nii.gz", labels, geometry)
    write_labels(tmp_path / "f.nii.gz", fractures, geometry)
    files = {"vertebrae": tmp_path / "v.nii.gz", "fractures": tmp_path / "f.nii.gz"}
    return Case("a", "a", tmp_path / "ct.nii.gz", **files), fractures, geometry


def evaluated(folder, scores, geometry):
    """A workdir with a map of these scores and a threshold of a half."""
    out = folder / "predictions" / "a"
    out.mkdir(parents=True)
    write_probability(out / "probability.nii.gz", scores.astype(np.float32), geometry)
    (folder / "evaluation").mkdir()
    summary = {"threshold": {"value": 0.5}}
    (folder / "evaluation" / "summary.json").write_text(json.dumps(summary))
    return folder


def test_both_are_scored_where_either_has_a_crop(tmp_path, case):
    case, fractures, geometry = case
    large = tiny_config(**{"prepare.voxel_spacing": 2.0, "prepare.crop_shape": (16, 16, 16)})
    small = tiny_config(**{"prepare.voxel_spacing": 2.0, "prepare.crop_shape": (8, 8, 8)})
    whole = evaluated(tmp_path / "whole", fractures * 0.9, geometry)
    half = fractures * 0.9
    half[..., 20:] = 0
    part = evaluated(tmp_path / "part", half, geometry)
    own, other = plan.counts([whole, part], [large, small], [case])
    # Of the ten voxels all lie in a crop of 16, and count for the one with crops of 8, too.
    assert own.counts["voxel/bins"][0, 1].sum() == other.counts["voxel/bins"][0, 1].sum() == 10
    assert own.counts["voxel/confusion"].sum() == 16**3
    (row,) = [r for r in compare_states(own, other, seed=0) if r["name"] == "dice"]
    assert (row["this"], row["other"]) == pytest.approx((1, 2 * 5 / (10 + 5)))


def test_each_gets_the_steps_that_fit_into_the_time(tmp_path, monkeypatch):
    files = {"planned": "configs/quickstart.py", "by-hand": "configs/benchmark_cohort.py"}
    (tmp_path / "planned" / "cohort").mkdir(parents=True)
    monkeypatch.setattr(
        plan, "step_seconds", lambda configs, rounds: {"planned": 0.1, "by-hand": 0.3}
    )
    two = plan.contestants(files, tmp_path, 5, {"seed": 3})
    assert {name: one.steps for name, one in two.items()} == {"planned": 3000, "by-hand": 1000}
    assert {one.config.seed for one in two.values()} == {3}
    assert (tmp_path / "by-hand" / "cohort").is_dir()


def planned_as(folder, **changes):
    """A plan for the recipe's cohort that says this, in place of one that is made now."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "planned.py").write_text(
        "from pathlib import Path\nfrom vfseg.config.derive import derive\n"
        f"def get_config():\n    return derive(Path({str(RECIPE)!r}), {changes!r})\n"
    )
    return ["--workdir", str(folder)]


def test_at_equal_time_plans_of_other_steps_are_one_training(tmp_path, monkeypatch, capsys):
    """As many steps as are planned for the cohort on a CPU: then nothing is trained."""
    monkeypatch.setattr(plan, "contestants", None)
    stages = StageSettings(**recipe().stages.to_dict())
    steps = {f"stages.{name}": n for name, n in share_out(5450, stages).items()}
    plan.main(planned_as(tmp_path, **steps, **{"train.validate_every": 2725}))
    *said, last = capsys.readouterr().out.splitlines()
    assert "config.stages.attention: 3468 planned, 3500 by hand" in said  # 3500 / 5500 * 5450
    assert len(said) == 5, "four stages, and when they are validated"
    assert "one and the same training" in last


@pytest.mark.parametrize(
    "changes",
    [
        {"windows.batch_size": 8},
        {"generator.features": (8, 16, 32, 64)},
        {"losses.dice": 2.0},
        {"stages.attention": 3000, "stages.recurrent": 1700},  # as many, shared out otherwise
    ],
)
def test_plans_of_another_training_are_trained(tmp_path, monkeypatch, capsys, changes):
    def asked(files, *_):
        raise InterruptedError(files["planned"])

    monkeypatch.setattr(plan, "contestants", asked)
    with pytest.raises(InterruptedError, match=r"planned\.py"):
        plan.main(planned_as(tmp_path, **changes))
    assert len(capsys.readouterr().out.splitlines()) == len(changes)


def test_a_table_has_the_differences_with_their_intervals():
    row = {"seed": 1, "name": "dice", "this": 0.7, "other": 0.65, "difference": 0.05, "ci95": None}
    printed = plan.table([row, {**row, "ci95": [0.01, 0.09]}])
    assert "| 1 | voxel dice | 0.700 | 0.650 | 0.050 |" in printed
    assert "| 0.050 [0.010, 0.090] |" in printed
