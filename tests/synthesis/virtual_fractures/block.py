"""A block with three vertebrae, and fractures to ask for."""

import numpy as np

from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume
from vfseg.synthesis.virtual_fractures import FractureSpec
from vfseg.synthesis.virtual_fractures.body import measure_body

HEIGHT, DISC, DEPTH, WIDTH = 26.0, 9.0, 32.0, 44.0
TRABECULAR, DISC_VALUE, NOISE = 120, 85, 15
SPECS = (
    FractureSpec("wedge", 0.12),
    FractureSpec("wedge", 0.35),
    FractureSpec("biconcave", 0.25, "both"),
    FractureSpec("crush", 0.45),
    FractureSpec("wedge", 0.22, "inferior"),
)


def block(spacing=(1.25, 1.0, 1.0)):
    """L2 to L4 as elliptic cylinders with arches, cortex, discs and noise; RAS, VerSe ids."""
    spacing = np.array(spacing)
    extent = np.array([140.0, 100, 84])
    shape = np.rint(extent / spacing).astype(int)
    d, h, w = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing)), indexing="ij")
    f, r = h - 62, w - extent[2] / 2
    radius = np.sqrt((2 * f / DEPTH) ** 2 + (2 * r / WIDTH) ** 2)
    arch = (f < -DEPTH / 2 + 4) & (f > -46) & (np.abs(r) < 18)
    arch &= ~((f < -DEPTH / 2) & (f > -34) & (np.abs(r) < 11))
    hu = np.full(tuple(shape), 45.0)
    labels = np.zeros(tuple(shape), np.uint8)
    for number, label in enumerate((23, 22, 21)):
        u = d - 35 - number * (HEIGHT + DISC)
        body = (radius < 1) & (np.abs(u) <= HEIGHT / 2)
        bone = body | (arch & (u > -4) & (u < HEIGHT / 2))
        core = (radius < 1 - 3 / DEPTH) & (np.abs(u) <= HEIGHT / 2 - 1.5)
        labels[bone] = label
        hu[bone] = 450
        hu[core] = TRABECULAR
        hu[(radius < 1) & (u > HEIGHT / 2) & (u < HEIGHT / 2 + DISC)] = DISC_VALUE
    hu += np.random.default_rng(0).normal(0, NOISE, hu.shape)
    stored = geometry_from(tuple(int(n) for n in shape[::-1]), np.diag([*spacing[::-1], 1]))
    return (
        Volume(np.rint(hu).astype(np.int16), stored),
        Volume(labels, stored),
    )


def neighbours(reading, level):
    levels = [v.level for v in reading.vertebrae]
    place = levels.index(level)
    below = reading.vertebrae[place + 1] if place + 1 < len(levels) else None
    return reading.vertebrae[place - 1], reading.vertebrae[place], below


def measure(whole):
    above, vertebra, below = neighbours(whole[2], whole[3])
    return measure_body(whole[1], vertebra, above, below)
