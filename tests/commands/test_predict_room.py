"""What a prediction needs and does not have: a folder, room on the disk, memory."""

import shutil
from types import SimpleNamespace

import jax
import pytest

from tests.cohort import tiny_config
from tests.commands.test_predict import run, save_model, write_case
from vfseg.commands import predict as command
from vfseg.data.volume import read_geometry
from vfseg.errors import CannotWrite, UserError
from vfseg.inference.estimate import result_bytes


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


def test_that_the_output_cannot_be_written_is_known_before_it_is_computed(
    tmp_path, checkpoints, monkeypatch
):
    ct, labels, _ = write_case(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr(command, "open_model", None)  # calling it would fail in another way
    for output in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(UserError, match=rf"{output}: cannot be written"):
            run(ct, output, checkpoints, vertebrae=labels)


def test_that_all_results_fit_on_the_disk_is_known_before_the_first_is_computed(
    tmp_path, checkpoints, monkeypatch
):
    for name in ("a", "b"):
        write_case(tmp_path / "cases" / name)
    geometry = read_geometry(tmp_path / "cases" / "a" / "case_ct.nii.gz")
    needed = 2 * result_bytes(geometry, tiny_config().prepare, 1)
    monkeypatch.setattr(command, "predict_maps", None)  # calling it would fail in another way
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(CannotWrite, match="free there, and the results of 2 cases take up to"):
        run(tmp_path / "cases", tmp_path / "out", checkpoints)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    with pytest.raises(UserError, match="no case could be predicted"):  # it was tried
        run(tmp_path / "cases", tmp_path / "out", checkpoints)


def test_memory_that_runs_out_is_answered_with_advice(tmp_path, checkpoints, monkeypatch):
    ct, labels, _ = write_case(tmp_path)

    def full(*_, **__):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setattr(command, "predict_maps", full)
    with pytest.raises(
        UserError, match=r"not enough memory \(.*allocating 9 bytes.* cut to the sp"
    ):
        run(ct, tmp_path / "out", checkpoints, vertebrae=labels)
