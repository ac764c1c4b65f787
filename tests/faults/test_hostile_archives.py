"""Archives made to do harm: each is one message, and takes little memory and time.

What one reader alone has to fear is tried beside it: `tests/models/test_torch_pickles.py`,
`tests/data/test_npz.py`, `test_packing.py`, `test_dicom_file.py` and `test_decoding.py`.
"""

import gzip
import io
import json
import stat
import struct
import zipfile

import nibabel as nib
import numpy as np
import pytest

from tests.faults.archives import with_right_sums, zip_of
from tests.faults.attempts import LARGEST_VOLUME, MESSAGE, VALUE, Target, bounded, outcome
from tests.faults.targets_weights import PICKLE, VALUES, read_state_dict
from vfseg.data.npz import DamagedNpz, read_npz
from vfseg.data.volume import read_probability
from vfseg.errors import UserError
from vfseg.models.weight_files import read_weights

SOUND = {"a/data.pkl": PICKLE, "a/version": b"3\n", "a/data/0": VALUES}


def _npz(path):
    """Reads a `.npz` as its users do, who name the file."""
    try:
        return read_npz(path)
    except DamagedNpz as error:
        raise UserError(f"{path}: {error}") from error


def _npy(shape, dtype="<f8", content=b""):
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + content


ONE = _npy((1,), content=bytes(8))


def _doubled(members):
    """An archive in which the last member has the name of the first."""
    (first, _), *_, (last, _) = members.items()
    assert len(first) == len(last)
    return zip_of(members).replace(last.encode(), first.encode())


def _link(name, members=()):
    """An archive with a symbolic link to a file elsewhere."""
    stream = io.BytesIO(zip_of(dict(members)))
    with zipfile.ZipFile(stream, "a") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, b"/etc/hostname")
    return stream.getvalue()


def _entry(archive, place, form, value):
    """An archive with another number in each entry of its directory."""
    changed, entry = bytearray(archive), -1
    while (entry := archive.find(b"PK\1\2", entry + 1)) >= 0:
        struct.pack_into(form, changed, entry + place, value)
    return bytes(changed)


def _repeated(name, content, times):
    """A directory that names one packed member many times."""
    archive = zip_of({name: content}, zipfile.ZIP_DEFLATED)
    start, end = archive.index(b"PK\1\2"), archive.index(b"PK\5\6")
    entry, last = archive[start:end], bytearray(archive[end:])
    struct.pack_into("<HHI", last, 8, times, times, len(entry) * times)
    names = [
        entry.replace(name.encode(), f"{n:0{len(name) - 4}}.npy".encode()) for n in range(times)
    ]
    return archive[:start] + b"".join(names) + bytes(last)


def _tensors(header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def _tensor(dtype="F32", shape=(1,), first=0, last=4):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [first, last]}


def _nifti(shape, kind, offset=352):
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(kind)
    header.set_sform(np.eye(4), 1)
    header["vox_offset"], header["magic"] = offset, header.single_magic
    return header.binaryblock + bytes(4)


PTH = {
    "a class by another operation": (b"\x80\4\x8c\2os\x8c\5mkdir\x93.", "refused|STACK_GLOBAL"),
    "a class of an instance": (b"\x80\2(S'a'\nios\nmkdir\n.", "refused|INST"),
    "a number in place of a class": (b"\x80\2\x82\1.", "refused|EXT1"),
    "an archive in an archive": (zip_of(SOUND), "damaged|codec|opcode"),
}
"""Pickles of a state dict."""
PTH = {name: (zip_of(SOUND | {"a/data.pkl": p}), words) for name, (p, words) in PTH.items()} | {
    "values that are not as they were written": (
        zip_of(SOUND).replace(VALUES, VALUES[:-1] + b"\x41"),
        "a/data/0 is not as it was written",
    ),
    "a name twice": (_doubled(SOUND | {"b/data.pkl": PICKLE}), "refused|longer than"),
    "under a password": (_entry(zip_of(SOUND), 8, "<H", 1), "encrypted|password"),
    "sizes of 64 bits": (_entry(zip_of(SOUND), 24, "<I", 2**32 - 2), "refused|longer than"),
}

NPZ = {
    "an archive in an archive": (zip_of({"a.npz": zip_of({"a.npy": ONE})}), "is no array"),
    "a name twice": (_doubled({"a.npy": ONE, "c.npy": ONE, "b.npy": ONE}), "is there twice"),
    "a link": (_link("b.npy", {"a.npy": ONE}), "magic"),
    "texts without a size": (zip_of({"a.npy": _npy((10**11,), "<U0")}), "holds no numbers"),
    "nothing, along a long axis": (zip_of({"a.npy": _npy((0, 10**13))}), "promises .* GiB"),
    "one member as many": (
        _repeated("0000.npy", _npy((2**17,), content=bytes(2**20)), 1000),
        "promises|differ|[Oo]verlap",
    ),
    "under a password": (_entry(zip_of({"a.npy": ONE}), 8, "<H", 1), "encrypted"),
    "packed in an unknown way": (_entry(zip_of({"a.npy": ONE}), 10, "<H", 99), "compression"),
    "a header that is a program": (
        zip_of({"a.npy": b"\x93NUMPY\1\0\x14\0__import__('os')....."}),
        "header",
    ),
}

SAFETENSORS = {
    "a header longer than the file": (struct.pack("<Q", 10**8) + b'{"a": 1}', "damaged"),
    "tensors that overlap": (_tensors({"v": _tensor(), "w": _tensor()}, bytes(4)), "damaged"),
    "bytes of no tensor": (_tensors({"w": _tensor(first=4, last=8)}, bytes(8)), "damaged"),
    "beyond the end": (_tensors({"w": _tensor()}), "damaged"),
    "too many values": (_tensors({"w": _tensor(shape=(2**62, 4))}, bytes(4)), "damaged"),
    "nothing, along a long axis": (_tensors({"w": _tensor(shape=(0, 2**62), last=0)}), "damaged"),
    "another type": (_tensors({"w": _tensor("F8_E4M3", (4,))}, bytes(4)), "Save them as float32"),
    "complex numbers": (_tensors({"w": _tensor("C64", last=8)}, bytes(8)), "complex numbers"),
    "lists in lists": (_tensors(b'{"w":' + b"[" * 10**5 + b"]" * 10**5 + b"}"), "damaged"),
}

FAR = 2 * LARGEST_VOLUME
NIFTI = {
    "packed twice": (gzip.compress(_nifti((2, 2, 2), np.uint8) + bytes(8)), "not a NIfTI"),
    "four bytes in memory for one": (
        _nifti((2**10, 2**10, 9), np.uint8) + bytes(9 * 2**20),
        "promises .* GiB",
    ),
    "voxels far behind": (_nifti((2, 2, 2), np.uint8, FAR) + bytes(FAR), "promises .* GiB"),
}

HOSTILE = {
    f"{file}: {name}": (file, read, content, words)
    for file, read, contents in (
        ("w.pth", read_state_dict, PTH),
        ("f.npz", _npz, NPZ),
        ("w.safetensors", read_weights, SAFETENSORS),
        ("m.nii.gz", read_probability, {n: (gzip.compress(c), w) for n, (c, w) in NIFTI.items()}),
    )
    for name, (content, words) in contents.items()
}


@pytest.mark.parametrize("name", HOSTILE)
def test_one_message_and_little_memory(name, tmp_path):
    file, read, content, words = HOSTILE[name]
    assert len(content) < 2**18
    path = tmp_path / file
    with bounded():
        assert outcome(Target(path, lambda: read(path), []), content) == MESSAGE
        with pytest.raises(UserError, match=words):
            read(path)
    assert list(tmp_path.iterdir()) == [path]  # nothing was unpacked


def test_names_that_lead_elsewhere_are_only_names(tmp_path):
    """Of what an archive holds no file is ever made."""
    path = tmp_path / "in" / "f.npz"
    path.parent.mkdir()
    path.write_bytes(zip_of({"../../a.npy": ONE, "/b.npy": ONE}))
    assert set(read_npz(path)) == {"../../a", "/b"}
    assert list(tmp_path.rglob("*.npy")) == []


def test_the_archives_of_these_tests_are_read_where_nothing_is_wrong(tmp_path):
    """So that it is what was changed that is refused."""
    for file, read, content in (
        ("w.pth", read_state_dict, zip_of(SOUND)),
        ("f.npz", _npz, zip_of({"a.npy": ONE})),
        ("w", read_weights, _tensors({"w": _tensor()}, bytes(4))),
        ("m.nii.gz", read_probability, gzip.compress(_nifti((2, 2, 2), np.uint8) + bytes(8))),
    ):
        path = tmp_path / file
        assert outcome(Target(path, lambda r=read, p=path: r(p), []), content) == VALUE


def test_sums_are_put_right(tmp_path):
    """What damage is tried with: every change would be one of the sum alone otherwise."""
    content = zip_of({"a": b"text"}).replace(b"text", b"next")
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(content)).read("a")
    assert zipfile.ZipFile(io.BytesIO(with_right_sums(content))).read("a") == b"next"
