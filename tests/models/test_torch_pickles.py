"""Files of PyTorch that promise more than they hold: nothing is taken for them."""

import collections
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from tests.models.state_dicts import write_weights
from vfseg.errors import UserError
from vfseg.models.torch_pickles import check_promises
from vfseg.models.weight_files import read_weights

MARK = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
MEMO = b"\x80\x02}r" + struct.pack("<I", 2**31 - 1) + b"."
BYTES = b"\x80\x02c__builtin__\nbytearray\nJ" + struct.pack("<i", 2**31 - 1) + b"\x85R."
_TWICE = b"X\x03\0\0\0hex\x86R"
DOUBLED = b"\x80\x02c_codecs\nencode\nq\0C\x01a" + _TWICE + b"."


def _zip(path, parts, kind=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize(
    ("content", "said"),
    [(MEMO, "numbers an object"), (BYTES, "bytearray"), (DOUBLED, "_codecs encode")],
    ids=["memo", "bytearray", "doubled"],
)
def test_a_small_file_takes_no_memory(form, content, said, tmp_path):
    path = tmp_path / "small.pth"
    if form == "zip":
        _zip(path, {"a/data.pkl": content})
    else:
        path.write_bytes(MARK + content)
    assert path.stat().st_size < 200
    tracemalloc.start()
    try:
        with pytest.raises(pickle.UnpicklingError, match=said):
            check_promises(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_parts_that_unpack_to_more_than_the_file_are_refused(tmp_path):
    parts = {"a/data.pkl": pickle.dumps({}, 2), "a/data/0": bytes(2**20)}
    check_promises(_zip(tmp_path / "stored.pth", parts))
    with pytest.raises(pickle.UnpicklingError, match="longer than the file"):
        check_promises(_zip(tmp_path / "packed.pth", parts, zipfile.ZIP_DEFLATED))


def test_plain_containers_are_let_through(tmp_path):
    content = collections.OrderedDict(a=1, b=[2.5, "c"], d=collections.Counter("e"))
    check_promises(_zip(tmp_path / "a.pth", {"a/data.pkl": pickle.dumps(content, 2)}))


@pytest.mark.parametrize("name", ["legacy.pth", "zip.pth"])
def test_a_bomb_is_one_message_to_the_user(name, torch, tmp_path):
    path = tmp_path / name
    if name == "zip.pth":
        _zip(path, {"a/data.pkl": BYTES, "a/version": b"3\n"})
    else:
        path.write_bytes(MARK + BYTES)
    with pytest.raises(UserError, match="asks for more than tensors, or than the file can hold"):
        read_weights(path)


def test_one_value_that_stands_for_very_many_is_refused(torch, tmp_path):
    """A view that repeats a value takes no memory, its values would: 8e12 bytes here."""
    torch.save({"w": torch.ones(1).expand(10**6, 10**6)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=f"promises {10**12} values in .* bytes"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["legacy.pth", "zip.pth"])
def test_what_pytorch_writes_is_let_through(name, tmp_path):
    kinds = (np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_)
    tensors = {kind.__name__: np.ones((2, 3), kind) for kind in kinds}
    check_promises(write_weights(tmp_path / name, tensors))
