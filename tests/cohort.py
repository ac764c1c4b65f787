"""A store of a few small crops with bright sheets as fractures, and the config that fits it."""

from pathlib import Path

import numpy as np

from vfseg.config.config import read_config
from vfseg.config.derive import changed, load
from vfseg.crops.store import CaseRecord, CropRecord, write_case
from vfseg.data.settings import PLANE_AXES

ROOT = Path(__file__).parent.parent


def tiny_config(**changes):
    """`configs/quickstart.py:tiny`, with dotted keys changed."""
    return read_config(tiny_values(**changes))


def tiny_values(**changes):
    """The same before it is read: a `ConfigDict`, which may hold anything."""
    return changed(load(ROOT / "configs" / "quickstart.py", "tiny"), changes)


def write_store(store, config, cases=2, crops=2):
    """Writes cases of noise with one bright sheet a crop; returns their records."""
    shape = tuple(config.prepare.crop_shape)
    rng = np.random.default_rng(0)
    records = []
    for number in range(cases):
        ct = rng.integers(0, 200, (crops, *shape), np.int16)
        fractures = np.zeros((crops, *shape), np.uint8)
        fractures[:, shape[0] // 2, 4:-4, 4:-4] = 1
        ct[fractures != 0] += 600
        shown = {p: fractures[0].any(axis=tuple({0, 1, 2} - {a})) for p, a in PLANE_AXES.items()}
        crop = CropRecord(
            level="L1",
            label=20,
            start=(0, 0, 0),
            fracture_voxels=int(fractures[0].sum()),
            fractured_slices={p: np.flatnonzero(s).tolist() for p, s in shown.items()},
            affine=tuple(map(tuple, np.eye(4).tolist())),
        )
        record = CaseRecord(
            case_id=f"case{number}",
            patient_id=f"case{number}",
            fingerprint="f",
            voxel_spacing=config.prepare.voxel_spacing,
            crop_shape=shape,
            crops=(crop,) * crops,
        )
        write_case(store, record, {"ct": ct, "fractures": fractures})
        records.append(record)
    return records
