"""Weight files: what is read, what is refused, and that nothing pickled in them runs."""

import importlib.util
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.models.state_dicts import write_weights
from vfseg.errors import UserError
from vfseg.models.weight_files import read_weights

FORMATS = pytest.mark.parametrize("name", ["legacy.pth", "zip.pth"])


def _tensors():
    rng = np.random.default_rng(0)
    return {
        "a.weight": rng.normal(size=(4, 3, 2, 5)).astype(np.float32),
        "b.weight": rng.normal(size=(6, 7)).astype(np.float16),
        "double": rng.normal(size=3),
        "count": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
    }


def _save(torch, content, path):
    torch.save(content, path, _use_new_zipfile_serialization=path.name != "legacy.pth")
    return path


@pytest.mark.parametrize("name", ["legacy.pth", "zip.pth", "w.safetensors"])
def test_values_come_back_exactly(name, tmp_path):
    tensors = _tensors()
    read = read_weights(write_weights(tmp_path / name, tensors))
    assert set(read) == set(tensors)
    for name, array in tensors.items():
        assert_array_equal(read[name], array)


@FORMATS
def test_whatever_their_layout(name, torch, tmp_path):
    """As in the packaged file: axes in another order, views that share memory."""
    values = torch.arange(24.0)
    content = {
        "reversed": values.reshape(4, 3, 2).permute(2, 1, 0),
        "column": values.reshape(6, 4)[:, 1],
        "repeated": values[5:7].expand(3, 2),
        "parameter": torch.nn.Parameter(values[:2]),
        "bfloat16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    }
    read = read_weights(_save(torch, content, tmp_path / name))
    assert_array_equal(read["reversed"], np.arange(24).reshape(4, 3, 2).transpose(2, 1, 0))
    assert_array_equal(read["column"], np.arange(1, 24, 4))
    assert_array_equal(read["repeated"], [[5, 6]] * 3)
    assert_array_equal(read["parameter"], [0, 1])
    assert_array_equal(read["bfloat16"], [1.5, -2])


class _Mischief:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@FORMATS
@pytest.mark.parametrize("nested", [False, True])
def test_a_pickled_call_is_refused_and_not_made(name, nested, torch, tmp_path):
    marker = tmp_path / "marker"
    content = _Mischief(marker)
    path = _save(torch, {"conv1.weight": content} if nested else content, tmp_path / name)
    with pytest.raises(UserError, match=r"pth: refused, nothing in it was run.*Save model\.state_"):
        read_weights(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(content))  # the payload is a live one
    assert marker.exists()


@FORMATS
def test_a_whole_model_is_refused_with_the_remedy(name, torch, tmp_path):
    path = _save(torch, torch.nn.Linear(2, 2), tmp_path / name)
    with pytest.raises(UserError, match=r"Save model\.state_dict\(\) with torch\.save"):
        read_weights(path)


@FORMATS
def test_a_file_cut_anywhere_is_refused(name, tmp_path):
    path = write_weights(tmp_path / name, _tensors())
    data = path.read_bytes()
    for length in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"\.pth: .*(damaged|is neither)"):
            read_weights(path)


def test_state_dicts_that_hold_something_else_are_refused(torch, tmp_path):
    for content, message in (
        ({"epoch": 3}, "the entry 'epoch' is not a plain tensor"),
        ({"state_dict": {}}, "the entry 'state_dict' is not a plain tensor"),
        ({"sparse": torch.ones(3).to_sparse()}, "the entry 'sparse' is not a plain tensor"),
        ([], "holds a list, not a state dict"),
        ({("a", 1): torch.ones(3)}, "an entry's name is a tuple"),
    ):
        with pytest.raises(UserError, match=message):
            read_weights(_save(torch, content, tmp_path / "zip.pth"))


WRAPPED = {
    "DataParallel": lambda tensors: {f"module.{name}": x for name, x in tensors.items()},
    "compiled, in parallel": lambda t: {f"module._orig_mod.{name}": x for name, x in t.items()},
    "a part of a model": lambda t: {"model": {f"net.encoder.{name}": x for name, x in t.items()}},
    "a checkpoint": lambda tensors: {"epoch": 90, "state_dict": tensors, "optimizer": {"lr": 0.1}},
    "a checkpoint of a checkpoint": lambda t: {"model": {"state_dict": t}, "arch": "resnet18"},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_training_programs_wrap_around_weights_is_taken_off(name, torch, tmp_path, caplog):
    tensors = {name: torch.from_numpy(array) for name, array in _tensors().items()}
    caplog.set_level("INFO", "absl")
    read = read_weights(_save(torch, WRAPPED[name](tensors), tmp_path / "zip.pth"))
    assert set(read) == set(tensors)
    assert_array_equal(read["double"], tensors["double"])
    said = {"DataParallel": "all names begin with module., which", "a checkpoint": "state_dict is"}
    assert said.get(name, str(tmp_path / "zip.pth")) in caplog.text


def test_a_prefix_is_taken_off_without_pytorch_and_only_where_all_share_it(tmp_path, caplog):
    caplog.set_level("INFO", "absl")
    shared = {f"module.{name}": array for name, array in _tensors().items()}
    assert set(read_weights(write_weights(tmp_path / "a.safetensors", shared))) == set(_tensors())
    assert "all names begin with module., which is left out" in caplog.text
    own = {"module.w": np.ones(1), "v": np.ones(1)}
    assert set(read_weights(write_weights(tmp_path / "b.safetensors", own))) == set(own)
    assert set(read_weights(write_weights(tmp_path / "c.safetensors", {"a.w": np.ones(1)}))) == {
        "a.w"
    }


def test_another_zip_file_is_refused(torch, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("model/weights.txt", b"")
    with pytest.raises(UserError, match=r"other\.pth: the state dict is damaged"):
        read_weights(tmp_path / "other.pth")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"], ids=["empty", "html"])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is neither a safetensors file nor a state dict saved by"):
        read_weights(path)


def test_a_damaged_safetensors_file_is_refused(tmp_path):
    path = write_weights(tmp_path / "cut.safetensors", {"w": np.ones(3, np.float32)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"cut\.safetensors: the safetensors file is damaged"):
        read_weights(path)
    for length in (b"\x10", b"PK\x03\x04"):
        path.write_bytes(length.ljust(8, b"\0") + b'{"a": 1}')
        with pytest.raises(UserError, match="the safetensors file is damaged"):
            read_weights(path)


def test_a_header_may_have_any_length(tmp_path):
    """A safetensors file begins with it: 128 is not the mark of a pickle."""
    header = b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'.ljust(0x80)
    (tmp_path / "w").write_bytes(b"\x80" + bytes(7) + header + np.float32(2).tobytes())
    assert_array_equal(read_weights(tmp_path / "w")["w"], [2])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.pth: the pretrained weights cannot be read"):
        read_weights(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("package", "start", "message"),
    [
        ("torch", b"PK\x03\x04", r"needs PyTorch: pip install 'vfseg\[torch\]'\. A safetensors"),
        ("torch", b"\x80\x02\x8a\x0a", r"needs PyTorch: pip install 'vfseg\[torch\]'"),
        ("safetensors", bytes(8) + b"{", r"safetensors needs pip install 'vfseg\[pretrained\]'"),
    ],
)
def test_what_is_not_installed_is_named(package, start, message, monkeypatch, tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(start)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find_spec(name)
    )
    with pytest.raises(UserError, match=message):
        read_weights(path)


def test_safetensors_need_no_pytorch(monkeypatch, tmp_path):
    path = write_weights(tmp_path / "w.safetensors", {"w": np.ones(3, np.float32)})
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it raises
    with pytest.raises(ImportError):
        importlib.import_module("torch")
    assert_array_equal(read_weights(path)["w"], 1)
