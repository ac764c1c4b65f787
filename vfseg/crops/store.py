"""The prepared crops of a case on disk: TensorStore arrays (zarr3, one shard a case) and a record.

`STORE/CASE_ID/` holds the arrays `ct` and `fractures` (each `n d h w`, one crop a chunk) and
`record.json`. A case appears complete or not at all.
"""

import dataclasses
import functools
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from vfseg.errors import UserError

ARRAYS = {"ct": np.int16, "fractures": np.uint8}
_FORMAT = 3
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


def write_case(store: Path, record: CaseRecord, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays and record under a temporary name, then moves them into place.

    Args:
        store: folder of the store.
        record: of the case; what an interrupted run left of it is removed.
        arrays: `ct` int16 HU and `fractures` uint8 instance ids, each `n d h w`.

    Raises:
        UserError: the store cannot be written.
    """
    final = store / record.case_id
    temporary = store / f".{record.case_id}.{os.getpid()}.part"
    try:
        for left in store.iterdir() if store.is_dir() else ():
            if re.fullmatch(rf"\.{re.escape(record.case_id)}\.\d+\.part", left.name):
                shutil.rmtree(left, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, dtype in ARRAYS.items():
            array = arrays[name]
            if array.dtype != dtype or array.shape != (len(record.crops), *record.crop_shape):
                raise ValueError(f"{name}: {array.dtype} {array.shape}")
            _create(temporary / name, array).write(array).result()
        fields = {"format": _FORMAT} | dataclasses.asdict(record)
        (temporary / "record.json").write_text(json.dumps(fields))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
    except OSError as error:
        raise UserError(
            f"{final}: cannot be written ({error.strerror or error}). Choose a --workdir that can "
            "be written to and has space left."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_record(store: Path, case_id: str) -> CaseRecord | None:
    """The record of a case; None where the store does not hold all of it, in today's format."""
    if not all((store / case_id / name / "zarr.json").is_file() for name in ARRAYS):
        return None
    try:
        fields = json.loads((store / case_id / "record.json").read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    if fields.pop("format", None) != _FORMAT:
        return None
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
    return CaseRecord(**{**fields, "crop_shape": tuple(fields["crop_shape"])}, crops=crops)


class CaseArrays:
    """Lazily opened arrays of one case; decoded crops are kept in one cache for all cases.

    Attributes:
        ct: `n d h w` int16 HU.
        fractures: `n d h w` uint8 instance ids.
    """

    def __init__(self, store: Path, case_id: str):
        for name in ARRAYS:
            setattr(self, name, _open(store / case_id / name))

    ct: Any
    fractures: Any


def _create(path: Path, array: np.ndarray) -> Any:
    chunk = [1, *array.shape[1:]]
    codecs = [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "zstd", "configuration": {"level": 1}},
    ]
    metadata = {
        "shape": array.shape,
        "data_type": array.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": array.shape}},
        "codecs": [
            {
                "name": "sharding_indexed",
                "configuration": {"chunk_shape": chunk, "codecs": codecs},
            }
        ],
    }
    return ts.open({**_spec(path), "metadata": metadata, "create": True}).result()


def _open(path: Path) -> Any:
    return ts.open(_spec(path), read=True, context=_context()).result()


@functools.cache
def _context() -> ts.Context:
    return ts.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})


def _spec(path: Path) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
