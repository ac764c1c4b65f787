"""The prepared crops of a case on disk: TensorStore arrays (zarr3, one shard a case) and a record.

`STORE/CASE_ID/` holds the arrays `ct` and `fractures` (each `n d h w`, one crop a chunk),
`record.json`, and the digests of all of these. A case appears complete or not at all, and what is
damaged afterwards is noticed: when the record is read, by the digests; when a crop is read, by the
checksum of its chunk.
"""

import dataclasses
import functools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorstore as ts

from vfseg.data.schemes import LEVELS
from vfseg.data.settings import PLANE_AXES
from vfseg.digests import damage, has_digests, write_digests
from vfseg.errors import CannotWrite, UserError, in_short
from vfseg.files import full_disk_of, unfinished
from vfseg.json_files import write_json
from vfseg.schemas import NUMBER, TEXT, misfit, read_checked
from vfseg.settings import Rule, above, one_of, whole

ARRAYS = {"ct": np.int16, "fractures": np.uint8}
_FORMAT, _RECORD = 4, "record.json"
_CACHE_BYTES = 2**30

Affine = tuple[tuple[float, ...], ...]
"""4 x 4, index (d, h, w) -> RAS+ mm, as plain numbers."""


@dataclasses.dataclass(frozen=True)
class CropRecord:
    """Where one crop lies and what it shows.

    Attributes:
        level: T4..L5.
        label: id of the vertebra in its label map; 0 where only boxes were given.
        start: index (d, h, w) of the crop's first voxel in the case grid; may be negative.
        fracture_voxels: fracture voxels attributed to this vertebra by its mask, crop grid.
        fractured_slices: for each plane, the slices of the crop that show any fracture.
        flags: what is odd about the vertebra: "fragment", "cut".
        affine: of the crop itself, index (d, h, w) in the crop -> RAS+ mm; never that of the CT.
    """

    level: str
    label: int
    start: tuple[int, int, int]
    fracture_voxels: int
    fractured_slices: Mapping[str, list[int]]
    flags: tuple[str, ...] = ()
    affine: Affine = dataclasses.field(kw_only=True)


@dataclasses.dataclass(frozen=True)
class CaseRecord:
    """What the store knows of a case. Nothing in it depends on how the cases are split.

    Attributes:
        case_id: name of the case.
        patient_id: name of the patient.
        fingerprint: hash of the input files and of the settings of the preparation.
        voxel_spacing: of the case grid, mm, isotropic.
        crop_shape: (d, h, w) of every crop.
        crops: one a vertebra, cranial to caudal.
    """

    case_id: str
    patient_id: str
    fingerprint: str
    voxel_spacing: float
    crop_shape: tuple[int, int, int]
    crops: tuple[CropRecord, ...]


_THREE = Rule(
    lambda sizes: len(sizes) == 3 and all(whole(1).admits(size) for size in sizes), "three sizes"
)
_INDEX = Rule(
    lambda index: len(index) == 3 and all(whole(-(10**6)).admits(i) for i in index), "an index"
)
_AFFINE = Rule(
    lambda rows: len(rows) == 4 and all(len(r) == 4 and all(map(NUMBER.admits, r)) for r in rows),
    "4 x 4 numbers",
)
_SHAPE = {
    "format": Rule(lambda number: number == _FORMAT, f"{_FORMAT}"),
    "case_id": TEXT,
    "patient_id": TEXT,
    "fingerprint": TEXT,
    "voxel_spacing": above(0),
    "crop_shape": _THREE,
    "crops": [
        {
            "level": one_of(LEVELS),
            "label": whole(0),
            "start": _INDEX,
            "fracture_voxels": whole(0),
            "fractured_slices": {plane: [whole(0)] for plane in PLANE_AXES},
            "flags": [TEXT],
            "affine": _AFFINE,
        }
    ],
}


def write_case(store: Path, record: CaseRecord, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays and record under a temporary name, then moves them into place.

    Args:
        store: folder of the store.
        record: of the case.
        arrays: `ct` int16 HU and `fractures` uint8 instance ids, each `n d h w`.

    Raises:
        CannotWrite: the store cannot be written.
    """
    for name, dtype in ARRAYS.items():
        array = arrays[name]
        if array.dtype != dtype or array.shape != (len(record.crops), *record.crop_shape):
            raise ValueError(f"{name}: {array.dtype} {array.shape}")
    final = store / record.case_id
    temporary = unfinished(final)
    try:
        temporary.mkdir(parents=True)
        for name in ARRAYS:
            _create(temporary / name, record, name).write(arrays[name]).result()
        write_json(temporary / _RECORD, {"format": _FORMAT} | dataclasses.asdict(record))
        write_digests(temporary)
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
    except (CannotWrite, OSError, ValueError) as error:  # TensorStore's is a ValueError
        raise _cannot_write(final, full_disk_of(error) or in_short(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _cannot_write(path: Path, reason: str) -> CannotWrite:
    return CannotWrite(
        f"{path}: cannot be written ({reason}). Choose a --workdir that can be written to and has "
        "space left."
    )


class StoredCase(NamedTuple):
    """What the store says of a case.

    Attributes:
        record: of the case; None where the store does not hold it as it was written.
        damage: what is wrong with what it holds, in words; "" where nothing is, or nothing is held.
    """

    record: CaseRecord | None
    damage: str = ""


def read_record(store: Path, case_id: str) -> StoredCase:
    """The record of a case, after the digests of all its files were compared."""
    folder = store / case_id
    if not folder.is_dir():
        return StoredCase(None)
    try:
        fields = read_checked(folder / _RECORD, {"format": whole(0)}, "")
    except UserError as error:
        return StoredCase(None, str(error).strip())
    if fields is None:
        return StoredCase(None, f"{_RECORD} is missing")
    if not has_digests(folder) and fields["format"] < _FORMAT:  # of an earlier version
        return StoredCase(None)
    wrong = damage(folder) or misfit(fields, _SHAPE, _RECORD)
    if wrong or fields["case_id"] != case_id:
        return StoredCase(None, wrong or f"it holds the case {fields['case_id']}")
    del fields["format"]
    crops = tuple(
        CropRecord(
            **{
                **crop,
                "start": tuple(crop["start"]),
                "flags": tuple(crop["flags"]),
                "affine": tuple(tuple(row) for row in crop["affine"]),
            }
        )
        for crop in fields.pop("crops")
    )
    return StoredCase(
        CaseRecord(**{**fields, "crop_shape": tuple(fields["crop_shape"])}, crops=crops)
    )


class CaseArrays:
    """Lazily opened arrays of one case, for `read_crops`; all cases share a cache of decoded crops.

    Attributes:
        ct: `n d h w` int16 HU.
        fractures: `n d h w` uint8 instance ids.
    """

    def __init__(self, store: Path, record: CaseRecord):
        """Opens the arrays of a case.

        Raises:
            UserError: they are damaged, or not those of the record.
        """
        for name in ARRAYS:
            setattr(self, name, _open(store / record.case_id / name, record, name))

    ct: Any
    fractures: Any


def read_crops(array: Any, index: Any = ...) -> np.ndarray:
    """A part of an array of `CaseArrays`, compared with its checksum.

    Args:
        array: `ct` or `fractures`.
        index: of the part, as NumPy has it; all of it by default.

    Raises:
        UserError: it is damaged, or gone.
    """
    try:
        return array[index].read().result()
    except (ValueError, KeyError, OSError) as error:
        raise _damaged(array.kvstore.path, error) from error


def _damaged(path: object, error: Exception) -> UserError:
    return UserError(
        f"{path}: these prepared crops are damaged ({' '.join(str(error).split())[:200]}). Give "
        "the same command again: it prepares the case anew."
    )


def _create(path: Path, record: CaseRecord, name: str) -> Any:
    return ts.open({**_spec(path), "metadata": _metadata(record, name), "create": True}).result()


def _open(path: Path, record: CaseRecord, name: str) -> Any:
    # What the file says of sizes is compared, not believed: memory is taken by it.
    spec = {**_spec(path), "metadata": _metadata(record, name)}
    try:
        return ts.open(spec, read=True, context=_context()).result()
    except (ValueError, KeyError, OSError) as error:
        raise _damaged(path, error) from error


def _metadata(record: CaseRecord, name: str) -> dict[str, Any]:
    """How an array of a case lies on disk: one shard, one crop a chunk."""
    shape = [len(record.crops), *record.crop_shape]
    number, checksum = {"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}
    codecs = [number, {"name": "zstd", "configuration": {"level": 1}}, checksum]
    return {
        "shape": shape,
        "data_type": np.dtype(ARRAYS[name]).name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
        "codecs": [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": [1, *record.crop_shape],
                    "codecs": codecs,
                    "index_codecs": [number, checksum],
                },
            }
        ],
    }


@functools.cache
def _context() -> ts.Context:
    return ts.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})


def _spec(path: Path) -> dict[str, Any]:
    return {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{path}/"},
        "fill_missing_data_reads": False,
        "store_data_equal_to_fill_value": True,
    }
