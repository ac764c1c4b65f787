"""What is written is what is read; a case is there as a whole or not at all."""

import shutil

import numpy as np
import pytest

from vfseg.crops.store import CaseArrays, CaseRecord, CropRecord, read_record, write_case
from vfseg.errors import UserError

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
    assert read_record(tmp_path, "a") == record
    stored = CaseArrays(tmp_path, "a")
    for name, array in arrays.items():
        read = getattr(stored, name)
        np.testing.assert_array_equal(read[...].read().result(), array)
        np.testing.assert_array_equal(read[1, :, 2:4].read().result(), array[1, :, 2:4])


def test_crops_are_chunks_of_one_shard(tmp_path):
    """Reading one crop decodes one chunk; the case is one file an array."""
    write_case(tmp_path, make_record(crops=5), make_arrays(5))
    array = CaseArrays(tmp_path, "a").ct
    assert array.chunk_layout.read_chunk.shape == (1, *SHAPE)
    files = [p for p in (tmp_path / "a" / "ct").rglob("*") if p.is_file()]
    assert len(files) == 2  # metadata and the shard


def test_a_rewritten_case_replaces_the_old_one(tmp_path):
    write_case(tmp_path, make_record(crops=3), make_arrays(3))
    write_case(tmp_path, make_record(crops=1), make_arrays(1, seed=1))
    np.testing.assert_array_equal(
        CaseArrays(tmp_path, "a").ct[...].read().result(), make_arrays(1, seed=1)["ct"]
    )


def test_a_failed_write_leaves_nothing(tmp_path):
    arrays = make_arrays()
    arrays["fractures"] = arrays["fractures"][:1]
    with pytest.raises(ValueError, match="fractures"):
        write_case(tmp_path, make_record(), arrays)
    assert list(tmp_path.iterdir()) == []
    assert read_record(tmp_path, "a") is None


def test_what_an_interrupted_run_left_is_cleared_away(tmp_path):
    for name in (".a.123.part", ".a.b.123.part"):  # the second is of another case, "a.b"
        (tmp_path / name / "ct").mkdir(parents=True)
    write_case(tmp_path, make_record("a"), make_arrays())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.b.123.part", "a"]


def test_a_rewritten_case_is_read_anew_though_the_old_one_is_cached(tmp_path):
    """All cases share one cache of decoded crops; it must notice that the files changed."""
    for seed in range(3):
        write_case(tmp_path, make_record(), make_arrays(seed=seed))
        read = CaseArrays(tmp_path, "a").ct[...].read().result()
        np.testing.assert_array_equal(read, make_arrays(seed=seed)["ct"])


def test_what_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_case(blocked, make_record(), make_arrays())


def test_a_damaged_record_counts_as_missing(tmp_path):
    write_case(tmp_path, make_record(), make_arrays())
    path = tmp_path / "a" / "record.json"
    path.write_text(path.read_text()[:-5])
    assert read_record(tmp_path, "a") is None


@pytest.mark.parametrize("name", ["ct", "fractures"])
def test_a_case_without_one_of_its_arrays_counts_as_missing(tmp_path, name):
    write_case(tmp_path, make_record(), make_arrays())
    shutil.rmtree(tmp_path / "a" / name)
    assert read_record(tmp_path, "a") is None
    write_case(tmp_path, make_record(), make_arrays())
    assert read_record(tmp_path, "a") == make_record()
