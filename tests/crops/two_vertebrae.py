"""A case of two vertebrae on disk, on an oblique grid, with HU that tell the place."""

import dataclasses

import numpy as np
from nibabel.affines import apply_affine

from vfseg.crops.prepare import cut_case, cut_owners, place_crops
from vfseg.crops.settings import PrepareSettings
from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.data.spine import read_spine
from vfseg.data.volume import read_geometry, write_ct, write_labels

SETTINGS = PrepareSettings(voxel_spacing=2.0, crop_shape=(40, 24, 32), vertebra_scheme="verse")
SHAPE, SPACING = (56, 40, 48), (1.5, 2.0, 1.25)  # d h w: 84 x 80 x 60 mm
# Boxes (d, h, w) of L2 (low) and L1 (high) in voxels of the CT: 27 x 40 x 40 mm, 9 mm apart.
BONES = {21: ((4, 10, 8), (22, 30, 40)), 20: ((28, 10, 8), (46, 30, 40))}
OBLIQUE = np.array(  # canonical index -> mm: turned by 10 degrees about the axis to the right
    [
        [0, 0, 1.25, -31],
        [1.5 * -np.sin(np.radians(10)), 2.0 * np.cos(np.radians(10)), 0, 12],
        [1.5 * np.cos(np.radians(10)), 2.0 * np.sin(np.radians(10)), 0, -400],
        [0, 0, 0, 1],
    ]
)


def box(corners):
    return tuple(slice(low, high) for low, high in zip(*corners))


def ramp(affine):
    """HU that tell the place: 3 a mm towards the right, 5 towards the front, 7 upwards."""
    mm = apply_affine(affine, np.stack(np.indices(SHAPE), -1))
    return mm @ [3, 5, 7] + 2500


def write_files(folder, *, fractures=None, boxes=False, ct=None, affine=OBLIQUE):
    """A case of two vertebrae, stored left, front, head (w h d, the first two reversed)."""
    folder.mkdir(parents=True, exist_ok=True)
    to_canonical = np.array(
        [[0, 0, 1, 0], [0, -1, 0, SHAPE[1] - 1], [-1, 0, 0, SHAPE[2] - 1], [0, 0, 0, 1]]
    )  # stored index -> canonical index
    geometry = geometry_from(SHAPE[::-1], affine @ to_canonical)
    np.testing.assert_allclose(geometry.affine, affine, atol=1e-5)
    volume = np.rint(ramp(geometry.affine)).astype(np.int16) if ct is None else ct
    write_ct(folder / "ct.nii.gz", volume, geometry)
    case = Case(folder.name, folder.name, folder / "ct.nii.gz")
    if boxes:
        lines = []
        for label, (low, high) in BONES.items():
            w, h, d = (
                (SHAPE[2] - high[2], SHAPE[2] - low[2]),
                (SHAPE[1] - high[1], SHAPE[1] - low[1]),
                (low[0], high[0]),
            )
            name = {20: "L1", 21: "L2"}[label]
            lines.append(",".join(map(str, (name, *w, *h, *d))))
        (folder / "boxes.csv").write_text("\n".join(lines))
        case = dataclasses.replace(case, boxes=folder / "boxes.csv")
    else:
        labels = np.zeros(SHAPE, np.uint8)
        for label, corners in BONES.items():
            labels[box(corners)] = label
        write_labels(folder / "vertebrae.nii.gz", labels, geometry)
        case = dataclasses.replace(case, vertebrae=folder / "vertebrae.nii.gz")
    if fractures is not None:
        write_labels(folder / "fractures.nii.gz", fractures, geometry)
        case = dataclasses.replace(case, fractures=folder / "fractures.nii.gz")
    return case, geometry


def sheet(label, value=1, dtype=np.uint8):
    """A plate in the upper half of one vertebra, 4.5 mm thick."""
    (low, high) = BONES[label]
    mask = np.zeros(SHAPE, dtype)
    mask[high[0] - 6 : high[0] - 3, low[1] + 2 : high[1] - 2, low[2] + 2 : high[2] - 2] = value
    return mask


def cut(case, settings=SETTINGS):
    return cut_case(case, settings, "f")


def owners(case, settings=SETTINGS):
    """Which vertebra the voxels of the crops lie in, `n d h w`."""
    geometry = read_geometry(case.ct)
    spine = read_spine(case, geometry, settings)
    crops = place_crops(spine.vertebrae, geometry, settings)
    return cut_owners(spine.labels, crops, spine.ids, settings)
