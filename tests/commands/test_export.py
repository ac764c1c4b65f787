"""Mode `export`: what the file answers where there is JAX and no vfseg."""

import re
import runpy
import shlex
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cohort import tiny_config
from tests.commands.test_predict import save_model
from vfseg.commands import export as command
from vfseg.commands.export import PROGRAM, SCRIPT, export
from vfseg.config.model import open_model
from vfseg.errors import UserError

LONGEST = 600
EMPTY = SimpleNamespace(mlir_module_serialized=b"", calling_convention_version=10)
VIEWS = {"inference.planes": ("axial", "sagittal")}
WITHOUT = ("vfseg", "flax", "scipy.ndimage", "nibabel", "orbax", "flatbuffers", "absl")
ALONE = f"""
import runpy, sys
for name in {WITHOUT}:
    sys.modules[name] = None  # importing it fails
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_script_answers_as_a_prediction_does_without_vfseg(tmp_path):
    checkpoints = save_model(tmp_path, **VIEWS)
    export(checkpoints, tmp_path / "out", overwrite=False)
    model = open_model(checkpoints)
    crops = np.random.default_rng(0).integers(
        *(-200, 1200), (3, *model.prepare.crop_shape), np.int16
    )
    np.save(tmp_path / "crops.npy", crops)
    files = [tmp_path / "out" / SCRIPT, tmp_path / "crops.npy", tmp_path / "found.npy"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, files)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npy")
    expected = model.predictor.slices(model.members[0], crops)
    assert found.shape == expected.shape == (3, model.predictions, *model.prepare.crop_shape)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_script_says_what_it_takes_and_what_the_numbers_mean(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "exported_model", lambda *_: EMPTY)
    checkpoints = save_model(tmp_path, **VIEWS, **{"inference.flips": True, "inference.shifts": 1})
    export(checkpoints, tmp_path / "out", overwrite=False)
    said = (tmp_path / "out" / SCRIPT).read_text()
    shape = tiny_config().prepare.crop_shape
    assert f"{shape} of {tiny_config().prepare.voxel_spacing} mm" in said
    assert "Trained on synthetic fractures, step 0. Research use only" in said
    views = [line for line in said.splitlines() if re.match(r"    \d+: ", line)]
    assert len(views) == open_model(checkpoints).predictions == 2 * 2 * (1 + 4)
    assert views[0] == "    0: axial slices"
    assert (
        views[-1] == "    19: sagittal slices, left and right exchanged, moved by (0, 1, 0) voxels"
    )
    assert "$" not in said
    assert len(said.split('"""')[2].strip().splitlines()) <= 30


def test_the_script_says_what_is_wrong_with_what_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "exported_model", lambda *_: EMPTY)
    export(save_model(tmp_path), tmp_path, overwrite=False)
    shape = tiny_config().prepare.crop_shape
    np.save(tmp_path / "float.npy", np.zeros((1, *shape), np.float32))
    np.save(tmp_path / "alone.npy", np.zeros(shape, np.int16))
    np.save(tmp_path / "none.npy", np.zeros((0, *shape), np.int16))
    for words, said in (
        ((), r"python run_predictor\.py crops\.npy probabilities\.npy"),
        (("float.npy", "out.npy"), r"float\.npy: float32 .*, expected int16, n crops of"),
        (("alone.npy", "out.npy"), re.escape(f"int16 {shape}, expected int16, n crops of {shape}")),
        (("none.npy", "out.npy"), r"int16 \(0, .*, expected"),
    ):
        given = [str(tmp_path / word) for word in words]
        monkeypatch.setattr(sys, "argv", [SCRIPT, *given])
        with pytest.raises(SystemExit, match=said):
            runpy.run_path(str(tmp_path / SCRIPT), run_name="__main__")
        assert not (tmp_path / "out.npy").exists()


def test_what_stands_is_kept(tmp_path):
    (tmp_path / PROGRAM).write_bytes(b"mine")
    with pytest.raises(UserError, match=r"stands already.*--overwrite"):
        export(tmp_path / "no model", tmp_path, overwrite=False)
    assert (tmp_path / PROGRAM).read_bytes() == b"mine"


def test_without_such_a_model_no_folder_is_left(tmp_path):
    with pytest.raises(UserError, match="no model"):
        export(tmp_path / "no model", tmp_path / "new" / "out", overwrite=False)
    assert not list(tmp_path.iterdir())


def test_the_command_that_is_said_can_be_pasted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "exported_model", lambda *_: EMPTY)
    folder = tmp_path / "my own"
    export(save_model(tmp_path), folder, overwrite=False)
    words = shlex.split(capsys.readouterr().out.partition("run by: ")[2])
    assert words == ["python", str(folder / SCRIPT), "crops.npy", "probabilities.npy"]
