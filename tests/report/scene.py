"""A small spine for the tests of the report: two box-shaped vertebrae and a sheet in one."""

import dataclasses

import numpy as np

from vfseg.data.geometry import geometry_from
from vfseg.data.levels import Vertebra
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.report.scene import Reference, Scene

SPACING = (1.5, 1.0, 2.0)  # mm along d, h, w


def ras_geometry(shape, spacing=SPACING, degrees=0.0):
    """File axes R, A, S, turned so far about R and about S; canonical shape (d, h, w)."""
    d, h, w = spacing
    affine = np.diag([w, h, d, 1.0])
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_r = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    about_s = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    affine[:3, :3] = about_s @ about_r @ affine[:3, :3]
    if degrees:
        affine[:3, 3] = (-120.0, 80.0, 310.0)
    return geometry_from(tuple(shape)[::-1], affine)


def make_scene(degrees=0.0) -> Scene:
    shape = (48, 60, 36)
    ct = np.full(shape, 40, np.int16)
    labels = np.zeros(shape, np.uint8)
    vertebrae = []
    for level, label, start in (("L1", 20, (28, 25, 8)), ("L2", 21, (8, 25, 8))):
        stop = (start[0] + 14, 50, 28)
        box = tuple(slice(a, b) for a, b in zip(start, stop))
        ct[box] = 300
        labels[box] = label
        centre = (np.array(start) + np.array(stop) - 1) / 2
        voxels = int(np.prod(np.array(stop) - start))
        vertebrae.append(Vertebra(level, label, start, stop, centre, voxels, voxels * 3.0 / 1000))
    truth = np.zeros(shape, np.uint8)
    truth[36:38, 30:48, 10:26] = 3
    probability = np.zeros(shape, np.float32)
    probability[36:38, 30:48, 10:26] = 0.9
    probability[14, 40, 12] = 0.6  # a false alarm in L2
    geometry = ras_geometry(shape, degrees=degrees)
    spine = Spine(tuple(vertebrae), Volume(labels, geometry), (20, 21), ())
    reference = Reference(truth, synthetic=True)
    return Scene("case-1", Volume(ct, geometry), spine, probability, 0.41, reference)


def without_spine(scene: Scene) -> Scene:
    return dataclasses.replace(scene, spine=Spine((), None, (), ()))
