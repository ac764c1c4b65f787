"""The crops of a run, in memory, as the peers read them."""

from typing import NamedTuple

import numpy as np

from vfseg.commands.workdir import Run
from vfseg.crops.store import CaseArrays, read_crops


class Crops(NamedTuple):
    """Crops of some cases.

    Attributes:
        names: case and level of each, as in `train_003_L1`.
        ct: int16 HU `n d h w`, axes superior, anterior, right.
        fractures: bool `n d h w`.
        voxel_spacing: mm, isotropic.
    """

    names: tuple[str, ...]
    ct: np.ndarray
    fractures: np.ndarray
    voxel_spacing: float


def crops_of(run: Run, split: str) -> Crops:
    """All crops of a split."""
    names, ct, fractures = [], [], []
    for record in run.records(split):
        arrays = CaseArrays(run.store, record)
        names += [f"{record.case_id}_{crop.level}" for crop in record.crops]
        ct.append(read_crops(arrays.ct))
        fractures.append(read_crops(arrays.fractures) != 0)
    spacing = run.config.prepare.voxel_spacing
    return Crops(tuple(names), np.concatenate(ct), np.concatenate(fractures), spacing)
