"""Small NIfTI files of any orientation."""

import gzip

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

from vfseg.data.nifti import slabs
from vfseg.data.volume import probability_writer

SHAPE = (5, 6, 7)


def stored_affine(codes, spacing=(0.7, 0.9, 2.5), origin=(-30.0, 12.0, 400.0), tilt=0.0):
    """Affine of a file whose axes run towards `codes`; tilt (radians) about an oblique axis."""
    axis = np.array([1.0, 2.0, -1.0]) / np.sqrt(6)
    rotation = Rotation.from_rotvec(tilt * axis).as_matrix()
    affine = np.eye(4)
    for stored, (code, size) in enumerate(zip(codes, spacing)):
        for world, (positive, negative) in enumerate(("RL", "AP", "SI")):
            if code in (positive, negative):
                affine[:3, stored] = rotation[:, world] * (size if code == positive else -size)
    affine[:3, 3] = origin
    return affine


def save(path, array, affine, **header):
    image = nib.Nifti1Image(array, affine)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def save_raw(path, plain, **fields):
    """Writes a file as another one, not compressed, with fields past nibabel's checks."""
    data = bytearray(plain.read_bytes())
    header = nib.Nifti1Header(bytes(data[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    data[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(data)))
    return path


def values(shape=SHAPE, dtype=np.int16):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def write_probability(path, array, geometry):
    """Writes a whole probability map, `d h w`, as predicting does: slab by slab."""
    with probability_writer(path, geometry) as write:
        for part in slabs(geometry):
            write(array[part])
