"""A vertebra of a labelled CT where something is to happen: measured, cut out, put back."""

from dataclasses import dataclass

import numpy as np

from vfseg.data.anatomy import LabelReading
from vfseg.data.box import Box
from vfseg.data.geometry import check_same_geometry
from vfseg.data.levels import Vertebra
from vfseg.data.schemes import SPINE_IDS
from vfseg.data.volume import Volume
from vfseg.errors import UserError
from vfseg.synthesis.virtual_fractures.body import (
    BodyMap,
    Surroundings,
    look_around,
    measure_body,
    voxel_grid,
)

_HALO_MM = 1.5  # bone is seen this far beyond its label


@dataclass(frozen=True, eq=False)
class LabelledCT:
    """A CT and what is known about it, on one grid.

    Attributes:
        ct: int16 HU.
        labels: label map of the vertebrae, any scheme.
        fractures: instances; None where there are none.
    """

    ct: Volume
    labels: Volume
    fractures: Volume | None = None


@dataclass(frozen=True, eq=False)
class Site:
    """A whole vertebra in a CT, where something is to happen.

    Attributes:
        vertebra: its label and box.
        above: its neighbour.
        body: as the label map has it.
        around: what stands in its columns.
        others: labels of all other vertebrae, sorted.
        trabecular: HU of its trabecular bone.
        width: of a voxel along the axis of the body, mm.
        halo: how far beyond its label bone is seen in the CT, mm.
    """

    vertebra: Vertebra
    above: Vertebra | None
    body: BodyMap
    around: Surroundings
    others: np.ndarray
    trabecular: float
    width: float
    halo: float


def open_site(scan: LabelledCT, level: str, reading: LabelReading) -> Site:
    """Measures a vertebra that is to be changed.

    Raises:
        UserError: volumes that do not lie on one grid, a level that is absent or cannot be
            broken, a body that cannot be found.
    """
    ct, labels = scan.ct, scan.labels
    check_same_geometry(ct.geometry, labels.geometry, "the CT", "the label map")
    vertebra = next((v for v in reading.vertebrae if v.level == level), None)
    if vertebra is None or level not in breakable_levels(reading):
        raise UserError(
            f"{level} cannot be broken: it needs a whole body and a labelled neighbour above. "
            f"Choose one of {', '.join(breakable_levels(reading)) or '(none)'}."
        )
    place = reading.vertebrae.index(vertebra)
    above = reading.vertebrae[place - 1] if place else None
    below = reading.vertebrae[place + 1] if place + 1 < len(reading.vertebrae) else None
    body = measure_body(labels, vertebra, above, below)
    return Site(
        vertebra=vertebra,
        above=above,
        body=body,
        around=look_around(labels, reading.spine_ids, vertebra.label, body),
        others=np.array(sorted(set(reading.spine_ids) - {vertebra.label})),
        trabecular=trabecular_hu(ct, labels, vertebra, body),
        width=float(np.abs(body.frame.axes[0]) @ ct.voxel_spacing),
        halo=max(_HALO_MM, 0.6 * float(ct.voxel_spacing.max())),
    )


def breakable_levels(reading: LabelReading) -> tuple[str, ...]:
    """Levels that are whole and have a labelled neighbour above, which shows where the disc is."""
    names = SPINE_IDS[reading.scheme]
    labelled = {names[label] for label, _, _ in reading.left_out if label in names}
    labelled |= {v.level for v in reading.vertebrae}
    order = [f"{part}{n}" for part, count in (("C", 7), ("T", 12), ("L", 5))
             for n in range(1, count + 1)]  # fmt: skip
    return tuple(
        v.level
        for v in reading.vertebrae
        if not v.flags and order[order.index(v.level) - 1] in labelled
    )


def trabecular_hu(ct: Volume, labels: Volume, vertebra: Vertebra, body: BodyMap) -> float:
    """Median HU of the inner half of a body."""
    box = vertebra.box
    up, front, right = voxel_grid(ct).local(box, body.frame)
    height = float(body.heights().mean())
    core = np.square(up * 3 / height) + np.square(front * 3 / body.depth)
    core = core + np.square(right * 3 / body.width)
    values = ct.array[box][(core < 1) & (labels.array[box] == vertebra.label)]
    return float(np.median(values)) if values.size else 100.0


def box_around(ct: Volume, site: Site) -> Box:
    """Voxels of a CT around the columns of a body."""
    body = site.body
    corners = np.array([[u, f, r] for u in site.around.up[[0, -1]] for f in body.front[[0, -1]]
                        for r in body.right[[0, -1]]])  # fmt: skip
    box = voxel_grid(ct).box(body.frame.to_patient(corners), 1)
    assert box is not None
    return box


def pasted(
    scan: LabelledCT, box: Box, ct: np.ndarray, labels: np.ndarray, fractures: np.ndarray | None
) -> LabelledCT:
    """The scan with other voxels in a box; None leaves the fractures as they are."""

    def renewed(volume: Volume, part: np.ndarray) -> Volume:
        array = volume.array.copy()
        array[box] = part
        return Volume(array, scan.ct.geometry)

    marks = scan.fractures
    if marks is not None and fractures is not None:
        marks = renewed(marks, fractures)
    return LabelledCT(renewed(scan.ct, ct), renewed(scan.labels, labels), marks)
