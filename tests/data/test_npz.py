"""What a `.npz` promises is known, compared with the limit and with what it has, before memory."""

import io
import resource
import zipfile

import numpy as np
import pytest

from vfseg.data.npz import DamagedNpz, Promise, npz_promises, read_npz
from vfseg.errors import UserError

ARRAYS = {"a/b": np.arange(6, dtype=np.float32).reshape(2, 3), "c": np.array(["x", "yz"])}


def _header(shape, dtype="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


def _archive(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_and_are_known_before(tmp_path, save):
    path = tmp_path / "f.npz"
    save(path, **ARRAYS)
    assert npz_promises(path) == {
        name: Promise(array.shape, array.dtype) for name, array in ARRAYS.items()
    }
    found = read_npz(path)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_more_than_the_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """2 MiB of zeros shrink to 2 kB; the limit is what they would take."""
    path = tmp_path / "f.npz"
    np.savez_compressed(path, a=np.zeros(2**18), b=np.zeros(2**18))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was read"))
    monkeypatch.setenv("VFSEG_LARGEST_VOLUME_GB", str(3.9 / 1024))
    with pytest.raises(UserError, match=r"f\.npz: promises .*VFSEG_LARGEST_VOLUME_GB"):
        read_npz(path)
    monkeypatch.setenv("VFSEG_LARGEST_VOLUME_GB", str(4.1 / 1024))
    assert set(npz_promises(path)) == {"a", "b"}


BROKEN = {
    "more than it has": {"a.npy": _header((10**13,))},
    "less than it has": {"a.npy": _header((1,)) + bytes(16)},
    "no array": {"a.txt": b"text"},
    "objects": {"a.npy": _header((1,), "|O") + bytes(8)},
    "a negative size": {"a.npy": _header((-1,))},
    "no header": {"a.npy": b"\x93NUMPY"},
    "a header of another version": {"a.npy": b"\x93NUMPY\x02\x00" + bytes(9)},
    "no member at all is no archive": None,
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_array_is_named(tmp_path, name):
    path = tmp_path / "f.npz"
    if BROKEN[name] is None:
        path.write_bytes(b"PK\x05\x06 no archive")
    else:
        _archive(path, BROKEN[name])
    for read in (npz_promises, read_npz):
        with pytest.raises(DamagedNpz):
            read(path)


@pytest.mark.parametrize("code", [0x110000, 0xD800], ids=["none", "half of one"])
def test_a_text_of_what_is_no_character(tmp_path, code):
    path = tmp_path / "f.npz"
    _archive(path, {"a.npy": _header((2,), "<U1") + np.array([97, code], "<u4").tobytes()})
    assert npz_promises(path)["a"].shape == (2,)
    with pytest.raises(DamagedNpz):
        read_npz(path)


def test_a_flipped_byte_of_an_array_is_noticed_by_its_checksum(tmp_path):
    path = tmp_path / "f.npz"
    np.savez(path, a=np.zeros(1000))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert set(npz_promises(path)) == {"a"}
    with pytest.raises(DamagedNpz):
        read_npz(path)


def test_a_file_that_grows_when_it_is_unpacked_takes_no_memory(tmp_path):
    """256 MiB of zeros behind a header that promises one number: it is not unpacked."""
    path = tmp_path / "f.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w") as file,
    ):
        file.write(_header((1,)))
        for _ in range(256):
            file.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DamagedNpz, match="promises another size"):
        read_npz(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # kB: 64 MiB
