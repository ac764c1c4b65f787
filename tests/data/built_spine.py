"""Label maps of built spines with known bodies."""

import numpy as np

from vfseg.data import levels
from vfseg.data.geometry import geometry_from
from vfseg.data.schemes import LEVELS
from vfseg.data.volume import Volume

SPACING = 2.0
NAMES = ("T3", *LEVELS, "S1")
# Height and width of the bodies (mm), with linear steps between these; depth is 0.72 of the width.
HEIGHT = dict(zip(NAMES, np.interp(np.arange(16), [0, 9, 12, 15], [17, 23, 27, 27])))
WIDTH = dict(zip(NAMES, np.interp(np.arange(16), [0, 9, 15], [28, 38, 50])))
DISC = dict(zip(NAMES, np.interp(np.arange(16), [0, 9, 15], [3.5, 6, 9])))


def spine(present=LEVELS, scale=1.0, crushed=()):
    """Label map `d h w` of a spine, levels numbered 1.. in the order of `NAMES`, and body centres.

    Bodies are elliptic cylinders on a curve; each has a block for pedicles and laminae, a spinous
    process that hangs down and two transverse processes. Crushed bodies keep 35 % of their height.
    """
    shape = tuple(int(n * scale) for n in (245, 80, 70))
    d, h, w = np.ogrid[: shape[0], : shape[1], : shape[2]]
    array, centres = np.zeros(shape, np.uint8), {}
    unit = SPACING / scale  # mm of the unscaled spine per voxel
    top = shape[0] * unit - 15
    for name in NAMES:
        height = HEIGHT[name] * (0.35 if name in crushed else 1)
        middle = np.array([top - height / 2, 0, shape[2] * unit / 2])
        middle[1] = 95 + 18 * np.sin((top - 100) / 75)  # kyphosis and lordosis
        top -= height + DISC[name]
        up, front, right = (g * unit - m for g, m in zip((d, h, w), middle))
        half = WIDTH[name] / 2
        level = np.abs(up) <= HEIGHT[name] / 2
        body = (np.abs(up) <= height / 2) & (
            (front / (0.72 * half)) ** 2 + (right / half) ** 2 <= 1
        )
        back = front + 0.72 * half
        arch = level & (np.abs(up) < 8) & (back <= 2) & (back > -16) & (np.abs(right) < 0.8 * half)
        canal = (back <= 0) & (back > -11) & (np.abs(right) < 8)
        process = (np.abs(up + 5) < 9) & (back <= -16) & (back > -38) & (np.abs(right) < 4)
        across = (np.abs(up) < 5) & (np.abs(back + 8) < 5) & (np.abs(right) < 1.6 * half)
        if name in present:
            array[body | ((arch | process | across) & ~canal)] = NAMES.index(name) + 1
            centres[name] = middle / unit
    return array, centres


def numbered(array, ids):
    """Renumber a built spine: name -> id."""
    table = np.zeros(len(NAMES) + 1, np.uint8)
    for name, label in ids.items():
        table[NAMES.index(name) + 1] = label
    return table[array]


def as_volume(array, codes="RAS"):
    """Put a `d h w` array of 2 mm voxels into a file grid of this orientation."""
    order = [next(a for a, pair in enumerate(("SI", "AP", "RL")) if c in pair) for c in codes]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for stored, (code, axis) in enumerate(zip(codes, order)):
        affine[2 - axis, stored] = SPACING if code in "RAS" else -SPACING
    geometry = geometry_from(tuple(array.shape[axis] for axis in order), affine)
    assert geometry.shape == array.shape
    return Volume(array, geometry)


def ids_of(scheme):
    return {name: label for label, name in levels.SPINE_IDS[scheme].items() if name in NAMES}
