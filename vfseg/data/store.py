"""The prepared crops of a case on disk: TensorStore arrays (zarr3, one shard a case) and a record.

`STORE/CASE_ID/` holds the arrays `ct`, `fractures`, `vertebrae` (each `n d h w`, one crop a
chunk) and `record.json`. A case appears complete or not at all.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from vfseg.errors import UserError

ARRAYS = {"ct": np.int16, "fractures": np.uint8, "vertebrae": np.uint8}
_FORMAT = 1


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
    """

    level: str
    label: int
    start: tuple[int, int, int]
    fracture_voxels: int
    fractured_slices: Mapping[str, list[int]]
    flags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class CaseRecord:
    """What the store knows of a case.

    Attributes:
      case_id: name of the case.
      patient_id: name of the patient.
      split: train, validation or test.
      fingerprint: hash of the input files and of the settings of the preparation.
      voxel_spacing: of the case grid, mm, isotropic.
      crop_shape: (d, h, w) of every crop.
      crops: one a vertebra, cranial to caudal.
    """

    case_id: str
    patient_id: str
    split: str
    fingerprint: str
    voxel_spacing: float
    crop_shape: tuple[int, int, int]
    crops: tuple[CropRecord, ...]


def write_case(store: Path, record: CaseRecord, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays and record under a temporary name, then moves them into place.

    Args:
      store: folder of the store.
      record: of the case.
      arrays: `ct` int16 HU, `fractures` uint8 instance ids, `vertebrae` uint8 (1 this vertebra,
        2 another one), each `n d h w`.
    """
    final = store / record.case_id
    temporary = store / f".{record.case_id}.{os.getpid()}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
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
    """The record of a case; None where the store does not hold it, or in another format."""
    try:
        fields = json.loads((store / case_id / "record.json").read_text())
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    if fields.pop("format", None) != _FORMAT:
        return None
    crops = tuple(
        CropRecord(**{**crop, "start": tuple(crop["start"]), "flags": tuple(crop["flags"])})
        for crop in fields.pop("crops")
    )
    return CaseRecord(**{**fields, "crop_shape": tuple(fields["crop_shape"])}, crops=crops)


class CaseArrays:
    """Lazily opened arrays of one case; decoded chunks are kept in a shared cache.

    Attributes:
      ct: `n d h w` int16 HU.
      fractures: `n d h w` uint8 instance ids.
      vertebrae: `n d h w` uint8, 1 this vertebra, 2 another one.
    """

    def __init__(self, store: Path, case_id: str, cache_bytes: int = 2**30):
        context = ts.Context({"cache_pool": {"total_bytes_limit": cache_bytes}})
        for name in ARRAYS:
            setattr(self, name, _open(store / case_id / name, context))

    ct: Any
    fractures: Any
    vertebrae: Any


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


def _open(path: Path, context: ts.Context) -> Any:
    return ts.open(_spec(path), read=True, context=context).result()


def _spec(path: Path) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
