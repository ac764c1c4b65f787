"""A small label map: three vertebrae of simple shapes, on any grid."""

import numpy as np

from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume

HEIGHT, DISC, DEPTH, WIDTH = 26.0, 9.0, 32.0, 44.0
LABELS = {"L2": 21, "L3": 22, "L4": 23}
_SIGN = {"S": (0, 1), "I": (0, -1), "A": (1, 1), "P": (1, -1), "R": (2, 1), "L": (2, -1)}
MIDDLE = np.array([75.0, 62.0, 45.0])
"""Middle of L3 in mm (superior, anterior, right) of the world."""


def inside(place, crushed=None):
    """Label at places [..., 3] mm (superior, anterior, right): elliptic bodies with arches."""
    found = np.zeros(place.shape[:-1], np.uint8)
    f, r = place[..., 1] - MIDDLE[1], place[..., 2] - MIDDLE[2]
    radius = np.sqrt((2 * f / DEPTH) ** 2 + (2 * r / WIDTH) ** 2)
    arch = (f < -DEPTH / 2 + 4) & (f > -46) & (np.abs(r) < 18)
    arch &= ~((f < -DEPTH / 2) & (f > -34) & (np.abs(r) < 11))
    for number, (level, label) in enumerate(LABELS.items()):
        u = place[..., 0] - MIDDLE[0] - (1 - number) * (HEIGHT + DISC)
        top = HEIGHT / 2 - (0.4 * HEIGHT if level == crushed else 0)
        body = (radius < 1) & (u >= -HEIGHT / 2) & (u <= top)
        found[body | (arch & (u > -4) & (u < HEIGHT / 2))] = label
    return found


def label_map(codes="RAS", spacing=(1.5, 1.25, 1.0), turn=None, crushed=None):
    """The map stored along the axes of `codes`; `turn` [3, 3] turns the grid in the world."""
    spacing, turn = np.array(spacing), np.eye(3) if turn is None else turn
    columns = np.zeros((3, 3))  # stored axis -> (right, anterior, superior)
    for stored, code in enumerate(codes):
        axis, sign = _SIGN[code]
        columns[2 - axis, stored] = sign * spacing[axis]
    sizes = np.ceil(np.array([150, 110, 90]) / spacing).astype(int)
    shape = tuple(int(sizes[_SIGN[code][0]]) for code in codes)
    affine = np.eye(4)
    affine[:3, :3] = turn @ columns
    affine[:3, 3] = MIDDLE[::-1] - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    geometry = geometry_from(shape, affine)
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)
    world = index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]
    return Volume(inside(world[..., ::-1], crushed), geometry)
