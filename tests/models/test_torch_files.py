"""State dicts written by hand: what is read, what is refused, and that nothing pickled runs."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.models.state_dicts import (
    Call,
    Global,
    Reference,
    legacy_file,
    pickled,
    reference,
    state_dict_file,
    tensor,
    zip_file,
)
from vfseg.errors import UserError
from vfseg.models.torch_files import is_torch_file, read_torch_file

PATH = Path("weights.pth")
FORMATS = {"zip": zip_file, "legacy": legacy_file}
BOTH = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def _tensors():
    rng = np.random.default_rng(0)
    return {
        "a.weight": rng.normal(size=(4, 3, 2, 5)).astype(np.float32),
        "b.weight": rng.normal(size=(6, 7)).astype(np.float16),
        "double": rng.normal(size=3),
        "count": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
    }


def _zip_with(payload, name="archive/data.pkl", compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(name, payload)
    return file.getvalue()


@BOTH
@pytest.mark.parametrize("reverse_axes", [(), ("a.weight", "b.weight")])
def test_values_come_back_whatever_their_layout(legacy, reverse_axes):
    tensors = _tensors()
    data = state_dict_file(tensors, legacy=legacy, reverse_axes=reverse_axes)
    assert is_torch_file(data)
    read = read_torch_file(PATH, data)
    assert list(read) == list(tensors)
    for name, array in tensors.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@BOTH
def test_views_share_a_storage_by_offset_and_strides(legacy):
    values = np.arange(12, dtype=np.float32)
    content = {
        "column": tensor("k", values, 1, (3,), (4,), legacy=legacy),
        "repeated": tensor("k", values, 5, (2, 2), (0, 1), legacy=legacy),
    }
    read = read_torch_file(PATH, FORMATS["legacy" if legacy else "zip"](content, {"k": values}))
    np.testing.assert_array_equal(read["column"], [1, 5, 9])
    np.testing.assert_array_equal(read["repeated"], [[5, 6], [5, 6]])


def test_bfloat16_is_read():
    stored = np.array([1.5, -2.0], np.float32).view(np.uint16)[1::2]  # the upper halves
    pid = ("storage", Global("torch", "BFloat16Storage"), "0", "cpu", 2)
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    content = {"w": Call(rebuild, (Reference(pid), 0, (2,), (1,), False, {}))}
    read = read_torch_file(PATH, zip_file(content, {"0": stored}))
    np.testing.assert_array_equal(read["w"].astype(np.float32), [1.5, -2.0])


def test_parameters_and_tensors_of_old_versions_are_read():
    values = np.arange(4, dtype=np.float32)
    reference_ = Reference((*reference("1", values), None))
    rebuilt = Call(Global("torch._utils", "_rebuild_tensor"), (reference_, 0, (2, 2), (2, 1)))
    parameter = Global("torch.nn.parameter", "Parameter")
    rebuild_parameter = Global("torch._utils", "_rebuild_parameter")
    content = Call(Global("collections", "OrderedDict"), ([("plain", rebuilt)],))
    content.args[0].append(("old", Call(parameter, (rebuilt,), (True, False, {}))))
    content.args[0].append(("new", Call(rebuild_parameter, (rebuilt, True, {}))))
    read = read_torch_file(PATH, legacy_file(content, {"1": values}))
    assert set(read) == {"plain", "old", "new"}
    for array in read.values():
        np.testing.assert_array_equal(array, [[0, 1], [2, 3]])


@BOTH
@pytest.mark.parametrize("nested", [False, True])
def test_a_pickled_call_is_refused_and_not_made(legacy, nested, tmp_path):
    marker = tmp_path / "marker"
    call = Call(Global("os", "mkdir"), (str(marker),))
    content = {"conv1.weight": call} if nested else call
    with pytest.raises(UserError, match=r"weights\.pth: refused.*asks for os\.mkdir"):
        read_torch_file(PATH, FORMATS["legacy" if legacy else "zip"](content, {}))
    assert not marker.exists()
    pickle.loads(pickled(content))  # the payload is a live one
    assert marker.exists()


@pytest.mark.parametrize(
    "forbidden",
    [
        Global("builtins", "eval"),
        Global("torch", "load"),
        Global("torch._utils", "__builtins__"),
        Global("collections", "OrderedDict.__init__"),
        Global("vfseg.models.torch_files", "_Unpickler"),
    ],
    ids=lambda name: f"{name.module}.{name.name}",
)
def test_only_listed_names_are_known(forbidden):
    with pytest.raises(UserError, match="which a state dict does not need"):
        read_torch_file(PATH, zip_file({"x": forbidden}, {}))


@pytest.mark.parametrize(
    "target",
    [
        Global("torch._utils", "_rebuild_tensor_v2"),
        Global("torch", "FloatStorage"),
        Global("collections", "OrderedDict"),
    ],
    ids=lambda name: name.name,
)
def test_no_pickle_can_set_attributes_of_what_it_is_given(target):
    """The opcode BUILD with a pair of states calls setattr on the object below it."""
    state = pickled((None, {"__doc__": "changed"}))[2:-1]  # less its own PROTO and STOP
    payload = pickled(target)[:-1] + state + b"b."
    with pytest.raises(UserError, match="its pickle cannot be read"):
        read_torch_file(PATH, _zip_with(payload))


@BOTH
def test_a_tensor_beyond_its_storage_is_refused_by_name(legacy):
    values = np.zeros(6, np.float32)
    write = FORMATS["legacy" if legacy else "zip"]
    for shape, strides, offset in [((2, 3), (3, 1), 1), ((4,), (2,), 0), ((1 << 40,), (1,), 0)]:
        content = {"conv1.weight": tensor("0", values, offset, shape, strides, legacy=legacy)}
        with pytest.raises(UserError, match=r"the tensor conv1\.weight is damaged \(element"):
            read_torch_file(PATH, write(content, {"0": values}))


@pytest.mark.parametrize(
    ("shape", "strides", "offset"), [((2,), (-1,), 1), ((2, 2), (1,), 0), ((2,), (1,), -1)]
)
def test_malformed_views_are_refused(shape, strides, offset):
    values = np.zeros(6, np.float32)
    with pytest.raises(UserError, match="a malformed tensor"):
        read_torch_file(
            PATH, zip_file({"w": tensor("0", values, offset, shape, strides)}, {"0": values})
        )


@BOTH
def test_a_file_cut_anywhere_is_refused(legacy):
    data = state_dict_file(_tensors(), legacy=legacy)
    for length in range(0, len(data), max(1, len(data) // 60)):
        if is_torch_file(data[:length]):
            with pytest.raises(UserError, match=r"weights\.pth: .*(damaged|not one that)"):
                read_torch_file(PATH, data[:length])


def test_a_legacy_file_cut_in_its_values_names_the_tensor():
    tensors = {"first": np.ones(5, np.float32), "second": np.ones(5, np.float32)}
    data = state_dict_file(tensors, legacy=True)
    with pytest.raises(UserError, match=r"the tensor second is damaged \(its values are cut short"):
        read_torch_file(PATH, data[:-1])
    with pytest.raises(UserError, match="the tensor first is damaged"):
        read_torch_file(PATH, data[: -5 * 4 - 8 - 1])


def test_a_flipped_bit_in_a_zip_file_names_the_tensor():
    values = np.full(50, 1.25, np.float32)
    data = bytearray(state_dict_file({"good": np.ones(3, np.float32), "bad": values}))
    data[data.index(struct.pack("<f", 1.25) * 2)] ^= 1
    with pytest.raises(UserError, match=r"the tensor bad is damaged .*CRC"):
        read_torch_file(PATH, bytes(data))


def test_a_storage_of_another_size_names_the_tensor():
    values = np.zeros(6, np.float32)
    content = {"w": tensor("0", values, 0, (6,), (1,))}
    with pytest.raises(UserError, match=r"the tensor w is damaged .20 bytes instead of 24"):
        read_torch_file(PATH, zip_file(content, {"0": values[:5]}))
    with pytest.raises(UserError, match=r"the tensor w is damaged .*no item named"):
        read_torch_file(PATH, zip_file(content, {}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zip_file({"epoch": 3}, {}), "the entry 'epoch' is not a tensor"),
        (zip_file({"state_dict": {}}, {}), "the entry 'state_dict' is not a tensor"),
        (zip_file([], {}), "holds a list, not a state dict"),
        (_zip_with(b"", "model/weights.txt"), "not one that torch.save wrote"),
        (_zip_with(pickled({}), compression=zipfile.ZIP_DEFLATED), "is compressed"),
        (legacy_file({}, {"9": np.zeros(2, np.float32)}), "its list of storages does not fit"),
    ],
    ids=["number", "nested", "list", "other zip", "compressed", "unknown storage"],
)
def test_files_that_are_no_state_dict_are_refused(data, message):
    with pytest.raises(UserError, match=message):
        read_torch_file(PATH, data)
