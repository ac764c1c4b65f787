"""The spine of a case: its vertebrae from a label map, or else from boxes or points."""

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from vfseg.data.anatomy import read_vertebrae
from vfseg.data.boxes import vertebrae_from_boxes
from vfseg.data.cases import Case
from vfseg.data.geometry import Geometry, check_same_geometry
from vfseg.data.levels import Vertebra
from vfseg.data.points import FLAGS, vertebrae_from_points
from vfseg.data.settings import SpineReading
from vfseg.data.vertebra_labels import label_files, read_vertebra_labels
from vfseg.data.volume import Volume, read_geometry
from vfseg.errors import UserError


class Spine(NamedTuple):
    """The spine of a case, as its label map or its boxes have it.

    Attributes:
        vertebrae: T4..L5, cranial to caudal.
        labels: the label volume, without islands; None where only boxes or points were given.
        ids: all ids of the map that are spine: also sacrum and cervical vertebrae, but no organ, no
            disc and no id that the scheme does not know.
        notes: how the map was read, and what is odd or left out.
        outlined: whether the program made the map, from points.
    """

    vertebrae: tuple[Vertebra, ...]
    labels: Volume | None
    ids: Collection[int]
    notes: tuple[str, ...]
    outlined: bool = False


def check_grid(case: Case, geometry: Geometry) -> None:
    """Refuses a label map that does not lie on the grid of its CT, by the headers of their files.

    Raises:
        UserError: it does not, or cannot be read.
    """
    for path in label_files(case.vertebrae) if case.vertebrae is not None else ():
        check_same_geometry(geometry, read_geometry(path), str(case.ct), str(path))


def read_spine(case: Case, geometry: Geometry, settings: SpineReading) -> Spine:
    """Reads the label map of a case, or else its boxes or points.

    A label map beside points was made from them, in VerSe's ids; the flags of the points are those
    of its vertebrae, too.

    Raises:
        UserError: none is there, it cannot be read, or does not lie on the grid of the CT.
    """
    if case.vertebrae is not None:
        labels = read_vertebra_labels(case.vertebrae)
        check_same_geometry(geometry, labels.geometry, str(case.ct), str(case.vertebrae))
        scheme = settings.vertebra_scheme if case.points is None else "verse"
        reading = read_vertebrae(labels, scheme or None, str(case.vertebrae))
        left_out = [f"{name} (id {label}): {why}" for label, name, why in reading.left_out]
        header = [f"{case.vertebrae.name}: {remark}" for remark in labels.geometry.remarks]
        notes = (*reading.notes, *left_out, *header)
        vertebrae = reading.vertebrae
        if case.points is not None:
            pointed, more = vertebrae_from_points(case.points, geometry)
            given = {v.level: [flag for flag in v.flags if flag in FLAGS] for v in pointed}
            vertebrae = tuple(
                replace(v, flags=(*v.flags, *given.get(v.level, ()))) for v in vertebrae
            )
            notes = (*more, *notes)
        outlined = case.points is not None
        return Spine(vertebrae, reading.labels, reading.spine_ids, notes, outlined)
    if case.boxes is not None:
        boxes = vertebrae_from_boxes(
            case.boxes,
            geometry,
            inclusive=settings.boxes_inclusive,
            scheme=settings.vertebra_scheme or None,
        )
        return Spine(boxes, None, (), ("boxes only: no vertebra mask",))
    if case.points is not None:
        vertebrae, notes = vertebrae_from_points(case.points, geometry)
        usual = "points only: boxes of usual size around the bodies, no vertebra mask"
        return Spine(vertebrae, None, (), (usual, *notes))
    raise UserError(
        f"{case.case_id}: neither a vertebra label map nor a box file. Name one in the columns "
        "'vertebrae' or 'boxes' of the manifest."
    )
