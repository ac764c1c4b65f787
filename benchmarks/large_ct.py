"""A large synthetic CT on which whole programs are timed: T4 to L5 as blocks in noise."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

SHAPE, SPACING = (512, 512, 1571), (0.7, 0.7, 0.5)
QUICK_SHAPE, QUICK_SPACING = (160, 160, 400), (1.4, 1.4, 1.96)
FILES = {"ct": "ct.nii.gz", "vertebrae": "vertebrae.nii.gz", "fractures": "fractures.nii.gz"}


def shape_of(*, quick: bool) -> tuple[int, int, int]:
    """Voxels along the axes as they are stored."""
    return QUICK_SHAPE if quick else SHAPE


def ct_bytes(*, quick: bool) -> int:
    """Size of the CT as int16."""
    return 2 * int(np.prod(shape_of(quick=quick)))


def described(*, quick: bool) -> str:
    """The CT in words."""
    size = "x".join(map(str, shape_of(quick=quick)))
    return f"{size} int16 ({ct_bytes(quick=quick) / 1e6:.0f} MB)"


def make_case(folder: str, quick: bool) -> None:
    """Writes the CT that programs are timed on, see `write_case`."""
    write_case(folder, shape_of(quick=quick), QUICK_SPACING if quick else SPACING)


def write_case(
    folder: str, shape: Sequence[int], spacing: Sequence[float], seed: int | None = None
) -> None:
    """Writes `FILES`: blocks of 20 to 60 mL, 22 to 38 mm apart, in the middle of the volume.

    Args:
        folder: of the files.
        shape: voxels along the axes as they are stored.
        spacing: mm along these axes.
        seed: of the noise, which is another one in every slice, so that no packer gains by it;
            without a seed the noise of 16 slices repeats.
    """
    # Imported here, because peers that only read the files are measured without it.
    from vfseg.data.geometry import geometry_from
    from vfseg.data.volume import write_ct, write_labels

    geometry = geometry_from(tuple(shape), np.diag([*spacing, 1.0]))
    labels, fractures = np.zeros(geometry.shape, np.uint8), np.zeros(geometry.shape, np.uint8)
    step = np.array(spacing[::-1])
    top = geometry.shape[0] * step[0] * 0.95
    for index in range(14):
        pitch, volume = np.interp(index, (0, 13), (22, 36)), np.interp(index, (0, 13), (19, 58))
        height = 0.75 * pitch
        side = np.sqrt(volume * 1000 / height)
        middle = np.array([top, geometry.shape[1] * step[1] / 2, geometry.shape[2] * step[2] / 2])
        extent = np.array([height, side, side])
        low, high = (((middle + s * extent / 2) / step).astype(int) for s in (-1, 1))
        labels[tuple(map(slice, low, high))] = 11 + index  # T4 is 11 in the scheme "verse"
        if index in (4, 9):
            third = (2 * low[0] + high[0]) // 3
            fractures[third : third + 4, low[1] : high[1], low[2] : high[2]] = index
        top -= pitch
    ct = np.empty(geometry.shape, np.int16)
    rng = np.random.default_rng(seed or 0)
    noise = rng.normal(0, 25, ct[:16].shape).astype(np.int16)
    for first in range(0, len(ct), len(noise)):
        if first and seed is not None:
            noise = rng.normal(0, 25, noise.shape).astype(np.int16)
        ct[first : first + len(noise)] = noise[: len(ct) - first]
    ct += (labels != 0) * np.int16(300)
    for name, write, array in (
        ("vertebrae", write_labels, labels),
        ("fractures", write_labels, fractures),
        ("ct", write_ct, ct),
    ):
        write(Path(folder) / FILES[name], array, geometry)
