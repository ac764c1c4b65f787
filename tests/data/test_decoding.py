"""Compressed pixels that end the process which decodes them end nothing else."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML

from tests.data.dicom_series import jpeg_series, make_slices, save, series_affine, slices_of, volume
from vfseg.data.decoding import Decoder, NoDecoder
from vfseg.data.volume import read_ct
from vfseg.errors import UserError

LARGE = 60000  # rows and columns, 7 GB of pixels
KINDS = {
    "JPEGLosslessProcess14_1": (b"\xff\xc3", 5, ">HH"),
    "JPEGLSLossless": (b"\xff\xf7", 5, ">HH"),  # whose library ends the process
    "JPEG2000Lossless": (b"\xff\x51", 6, ">II"),
}
"""Mark of the part that holds the size of the picture, its place there, and its form."""


@pytest.fixture
def decoder():
    made = Decoder()
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_that_is_larger_than_its_tags_say(kind, tmp_path):
    pytest.importorskip("gdcm", reason="needs the extra dicom")
    packed, plain = jpeg_series(tmp_path, kind)
    mark, place, form = KINDS[kind]
    path = packed / "IM0001"
    sound = path.read_bytes()
    at = sound.index(mark) + place
    changed = bytearray(sound)
    assert struct.unpack_from(form, sound, at) == (16, 16)
    struct.pack_into(form, changed, at, LARGE, LARGE)
    path.write_bytes(changed)
    with pytest.raises(UserError, match=r"IM0001: the pixels cannot be read \(.*\)\. Copy or exp"):
        read_ct(packed)
    path.write_bytes(sound)
    np.testing.assert_array_equal(read_ct(packed).array, read_ct(plain).array)


def test_a_process_that_was_ended_is_followed_by_another(decoder, tmp_path):
    path = tmp_path / "slice"
    (data,) = make_slices(volume((6, 5, 1)), series_affine())
    data.compress("1.2.840.10008.1.2.5")
    data.save_as(path, enforce_file_format=True)
    pixels = decoder(path)
    np.testing.assert_array_equal(pixels, volume((6, 5, 1))[..., 0].T + 1024)
    process = decoder._process
    process.kill()
    process.wait()
    with pytest.raises(ValueError, match="decoding them fails: Killed"):
        decoder(path)
    np.testing.assert_array_equal(decoder(path), pixels)
    assert decoder._process.pid != process.pid


def test_the_process_ends_with_the_one_that_asks(decoder, tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        decoder(tmp_path / "none")
    process = decoder._process
    assert os.getpgid(process.pid) != os.getpgid(0)  # a Ctrl-C does not reach it
    process.stdin.close()
    assert process.wait(20) == 0


def test_a_compression_that_nothing_here_decodes(decoder, tmp_path):
    slices = slices_of(3)
    for data in slices:
        data.file_meta.TransferSyntaxUID = MPEG2MPML
        data.PixelData = encapsulate([bytes(16)])
        data["PixelData"].VR = "OB"
    folder = save(slices, tmp_path / "s")
    with pytest.raises(NoDecoder):
        decoder(folder / "IM0000")
    with pytest.raises(UserError, match=r"cannot be read here .* pip install 'vfseg\[dicom\]'"):
        read_ct(folder)


def test_paths_of_any_kind(decoder, tmp_path, monkeypatch):
    """The process works elsewhere: what is named may be relative, and hold what ends a line."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="No such file"):
        decoder(Path("a\nb é"))
