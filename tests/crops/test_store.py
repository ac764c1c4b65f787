"""What is written is what is read; a case is there as a whole or not at all."""

import re
import shutil

import numpy as np
import pytest

from tests.full_disk import no_file_beyond
from vfseg.crops.store import (
    CaseArrays,
    CaseRecord,
    CropRecord,
    read_crops,
    read_record,
    write_case,
)
from vfseg.errors import CannotWrite, UserError

SHAPE = (4, 6, 8)


AFFINE = (
    (0.0, 0.0, 1.25, -3.1),
    (0.0, 1.25, 0.0, 0.1),
    (1.25, 0.0, 0.0, 1 / 3),
    (0.0, 0.0, 0.0, 1.0),
)


def make_record(case_id="a", crops=2, **changes):
    fields = {
        "case_id": case_id,
        "patient_id": case_id,
        "fingerprint": "f",
        "voxel_spacing": 1.25,
        "crop_shape": SHAPE,
        "crops": tuple(
            CropRecord(
                "L1",
                20 + i,
                (i, -2, 3),
                5,
                {"axial": [], "coronal": [1], "sagittal": [i]},
                affine=AFFINE,
            )
            for i in range(crops)
        ),
    }
    return CaseRecord(**{**fields, **changes})


def make_arrays(crops=2, seed=0):
    rng = np.random.default_rng(seed)
    shape = (crops, *SHAPE)
    return {
        "ct": rng.integers(-2048, 3071, shape, np.int16),
        "fractures": rng.integers(0, 7, shape, np.uint8),
    }


def test_round_trip(tmp_path):
    record, arrays = make_record(), make_arrays()
    write_case(tmp_path, record, arrays)
    assert read_record(tmp_path, "a") == (record, "")
    stored = CaseArrays(tmp_path, make_record())
    for name, array in arrays.items():
        read = getattr(stored, name)
        np.testing.assert_array_equal(read[...].read().result(), array)
        np.testing.assert_array_equal(read[1, :, 2:4].read().result(), array[1, :, 2:4])


def test_crops_are_chunks_of_one_shard(tmp_path):
    """Reading one crop decodes one chunk; the case is one file an array."""
    write_case(tmp_path, make_record(crops=5), make_arrays(5))
    array = CaseArrays(tmp_path, make_record(crops=5)).ct
    assert array.chunk_layout.read_chunk.shape == (1, *SHAPE)
    files = [p for p in (tmp_path / "a" / "ct").rglob("*") if p.is_file()]
    assert len(files) == 2  # metadata and the shard


def test_a_crop_of_zeros_is_kept_like_any_other(tmp_path):
    """What is missing would be damage; what holds the value that stands for missing is not."""
    arrays = {name: np.zeros_like(array) for name, array in make_arrays().items()}
    write_case(tmp_path, make_record(), arrays)
    assert not read_crops(CaseArrays(tmp_path, make_record()).ct).any()


def test_a_rewritten_case_replaces_the_old_one(tmp_path):
    write_case(tmp_path, make_record(crops=3), make_arrays(3))
    write_case(tmp_path, make_record(crops=1), make_arrays(1, seed=1))
    np.testing.assert_array_equal(
        read_crops(CaseArrays(tmp_path, make_record(crops=1)).ct), make_arrays(1, seed=1)["ct"]
    )


def test_a_failed_write_leaves_nothing(tmp_path):
    arrays = make_arrays()
    arrays["fractures"] = arrays["fractures"][:1]
    with pytest.raises(ValueError, match="fractures"):
        write_case(tmp_path, make_record(), arrays)
    assert list(tmp_path.iterdir()) == []
    assert read_record(tmp_path, "a") == (None, "")


def test_a_rewritten_case_is_read_anew_though_the_old_one_is_cached(tmp_path):
    """All cases share one cache of decoded crops; it must notice that the files changed."""
    for seed in range(3):
        write_case(tmp_path, make_record(), make_arrays(seed=seed))
        read = CaseArrays(tmp_path, make_record()).ct[...].read().result()
        np.testing.assert_array_equal(read, make_arrays(seed=seed)["ct"])


def test_what_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_case(blocked, make_record(), make_arrays())


@pytest.fixture
def held(tmp_path):
    """A store with the cases "a" and "b", which are read anew whenever a file of them changed."""
    for seed, name in enumerate("ab"):
        write_case(tmp_path, make_record(name), make_arrays(seed=seed))
    return tmp_path


def _shard(store, case="a", name="ct"):
    (shard,) = (path for path in (store / case / name / "c").rglob("*") if path.is_file())
    return shard


def _flip(path, place=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 8
    path.write_bytes(bytes(content))


DAMAGES = {
    "array gone": lambda store: shutil.rmtree(store / "a" / "fractures"),
    "metadata of an array gone": lambda store: (store / "a" / "ct" / "zarr.json").unlink(),
    "shard gone": lambda store: _shard(store).unlink(),
    "shard cut": lambda store: _shard(store).write_bytes(_shard(store).read_bytes()[:-9]),
    "shard empty": lambda store: _shard(store).write_bytes(b""),
    "shard flipped": lambda store: _flip(_shard(store)),
    "shard of another case": lambda store: shutil.copy(_shard(store, "b"), _shard(store)),
    "record gone": lambda store: (store / "a" / "record.json").unlink(),
    "record cut": lambda store: (store / "a" / "record.json").write_text('{"format": 4'),
    "record no mapping": lambda store: (store / "a" / "record.json").write_text("[[]]"),
    "record flipped": lambda store: _flip(store / "a" / "record.json"),
    "digests gone": lambda store: (store / "a" / "digests.json").unlink(),
    "digests flipped": lambda store: _flip(store / "a" / "digests.json"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_noticed_and_said(held, damage):
    damage(held)
    found = read_record(held, "a")
    assert found.record is None
    assert found.damage
    assert read_record(held, "b") == (make_record("b"), "")
    write_case(held, make_record("a"), make_arrays())
    assert read_record(held, "a") == (make_record("a"), "")


def test_a_case_under_the_name_of_another_is_noticed(held):
    shutil.rmtree(held / "a")
    shutil.copytree(held / "b", held / "a")
    assert read_record(held, "a") == (None, "it holds the case b")


def test_a_record_of_an_earlier_version_is_no_damage(held):
    path = held / "a" / "record.json"
    path.write_text(path.read_text().replace('"format": 4', '"format": 3'))
    (held / "a" / "digests.json").unlink()
    assert read_record(held, "a") == (None, "")


def _read_crop_by_crop(opened, array):
    for number, crop in enumerate(array):
        np.testing.assert_array_equal(read_crops(opened, number), crop)


def test_a_flip_anywhere_in_a_shard_is_an_error_when_its_crop_is_read(held):
    """Every byte is one of a chunk, of the index, or of the checksum of one of them."""
    shard, array = _shard(held), make_arrays()["ct"]
    whole = shard.read_bytes()
    places = np.random.default_rng(0).choice(len(whole), 60, replace=False)
    for place in places:
        _flip(shard, int(place))
        opened = CaseArrays(held, make_record("a")).ct
        with pytest.raises(UserError, match="prepared crops are damaged"):
            _read_crop_by_crop(opened, array)
        shard.write_bytes(whole)


@pytest.mark.parametrize("damage", ["shard gone", "shard cut", "shard empty"])
def test_a_crop_that_is_gone_is_an_error_and_not_zeros(held, damage):
    opened = CaseArrays(held, make_record("a")).ct
    DAMAGES[damage](held)
    with pytest.raises(UserError, match=r"a/ct/: .* are damaged .* Give the same command again"):
        read_crops(opened)


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b'{"zarr_format": 3}', b"[1]"])
def test_arrays_that_cannot_be_opened_are_named(held, content):
    path = held / "a" / "ct" / "zarr.json"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=r"a/ct: these prepared crops are damaged"):
        CaseArrays(held, make_record("a"))


def test_a_size_that_is_not_that_of_the_record_is_damage_and_takes_no_memory(held):
    """The shape in the metadata of an array is a promise: of 2 crops, or of 10^18."""
    path = held / "a" / "ct" / "zarr.json"
    whole = path.read_text()
    for size in ("3", "1" + "0" * 18):
        path.write_text(re.sub(r'("(chunk_)?shape":\s*\[)2,', rf"\g<1>{size},", whole))
        assert path.read_text().count(size + ",") == 2, "of the array and of its one shard"
        with pytest.raises(UserError, match=r"a/ct: these prepared crops are damaged"):
            CaseArrays(held, make_record("a"))


def test_a_full_disk_is_one_message_and_leaves_nothing(tmp_path):
    """Whichever file it is that finds no room: those of TensorStore, the record, the digests."""
    arrays = make_arrays()
    for size in (0, 100, 600, 900):
        with (
            no_file_beyond(size),
            pytest.raises(CannotWrite, match=r"a: cannot be written \(File too large\)\. Choose"),
        ):
            write_case(tmp_path, make_record(), arrays)
        assert list(tmp_path.iterdir()) == []
