"""One case: its files read once, what is wrong with them, and the facts that are kept."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import nibabel as nib
import numpy as np
from absl import logging
from nibabel.affines import apply_affine

from vfseg.audit.digest import image_digest
from vfseg.audit.findings import CaseFacts, Finding, LesionFacts, Place, VertebraFacts
from vfseg.audit.grades import check_grades
from vfseg.audit.lesions import measure_lesions
from vfseg.audit.masks import check_mask
from vfseg.audit.parents import distinctive_block
from vfseg.crops.prepare import place_crops
from vfseg.crops.settings import PrepareSettings
from vfseg.data.anatomy import LabelReading, read_vertebrae
from vfseg.data.attribution import FRACTURED_MM3
from vfseg.data.boxes import vertebrae_from_boxes
from vfseg.data.cases import Case
from vfseg.data.geometry import Geometry, check_same_geometry
from vfseg.data.grades import grades_of
from vfseg.data.hounsfield import check_hounsfield, hounsfield_histogram, value_range
from vfseg.data.instances import separated
from vfseg.data.levels import Vertebra
from vfseg.data.schemes import LEVELS
from vfseg.data.vertebra_labels import read_vertebra_labels
from vfseg.data.volume import Volume, read_ct, read_labels
from vfseg.errors import UserError

_AROUND_MM = 10.0
# How `read_vertebrae` words what it sees -> severity, kind; anything else is a warning.
_NOTES = (
    (" is missing", "warning", "level_missing"),
    (" is present", "warning", "level_extra"),
    (" is a fragment", "warning", "fragment"),
    (" is cut by", "note", "cut"),
    (" parts", "warning", "parts"),
    ("plausible are", "warning", "implausible"),
    ("times as far apart", "warning", "implausible"),
    ("only arch or processes", "note", "cut"),
    ("the only known one that fits", "note", "scheme_told"),
    ("not looked at (", "note", "other_ids"),
)
_Read = TypeVar("_Read")


def examine_case(
    case: Case, settings: PrepareSettings, *, marked: bool
) -> tuple[CaseFacts, list[Finding]]:
    """Reads CT, vertebrae and fracture mask of a case, once each, and checks them.

    Never raises `UserError`: whatever is wrong with the files is a finding.

    Args:
        case: files to read.
        settings: how crops are going to be cut.
        marked: whether the masks of the data set tell fractures apart, see `instances_are_marked`.
    """
    examination = _Examination(case, settings, marked)
    return examination.facts(), examination.findings


class _Examination:
    """The files of a case while they are looked at."""

    def __init__(self, case: Case, settings: PrepareSettings, marked: bool):
        self.case, self.settings, self.marked = case, settings, marked
        self.findings: list[Finding] = []
        self.ct = self._try("file", lambda: read_ct(case.ct))
        self.geometry = None if self.ct is None else self.ct.geometry
        self._say_remarks(case.ct, self.geometry)
        self.labels = self._on_grid(case.vertebrae, read_vertebra_labels)
        self.reading: LabelReading | None = None
        if self.labels is not None:
            source, scheme = str(case.vertebrae), settings.vertebra_scheme or None
            labels = self.labels
            self.reading = self._try("scheme", lambda: read_vertebrae(labels, scheme, source))
        if self.reading is not None:
            self.labels = self.reading.labels
        self.vertebrae: tuple[Vertebra, ...] = self.reading.vertebrae if self.reading else ()
        self._check_levels()
        self._check_boxes()
        self.fractures = self._on_grid(case.fractures, read_labels)

    def facts(self) -> CaseFacts:
        """Checks what is left to check; the facts of the case."""
        case, ct = self.case, self.ct
        lesions = None if self.fractures is None else self._lesions(self.fractures)
        self.findings += check_grades(case, self._grades(), lesions, self.vertebrae)
        usable = (
            ct is not None
            and bool(self.vertebrae)
            and not any(f.kind == "geometry" for f in self.findings)
            and (case.fractures is None or self.fractures is not None)
        )
        facts = CaseFacts(
            case_id=case.case_id,
            patient_id=case.patient_id,
            split=case.split,
            usable=usable,
            scheme=self.reading.scheme if self.reading else "boxes" if self.vertebrae else "",
            vertebrae=self._vertebra_facts(lesions),
            lesions=lesions,
        )
        if ct is None:
            return facts
        counts = hounsfield_histogram(ct)
        middle = Place("sagittal", self._middle(ct))
        for severity, kind, message in check_hounsfield(counts):
            place = None if severity == "note" else middle
            self._find(severity, kind, f"{case.ct.name}: {message}", place=place)
        self._check_bone(ct)
        block, start = distinctive_block(ct)
        spacing = [float(step) for step in ct.voxel_spacing]
        return dataclasses.replace(
            facts,
            stored_shape=ct.geometry.stored_shape,
            stored_affine=ct.geometry.stored_affine,
            shape=ct.shape,
            voxel_spacing=(spacing[0], spacing[1], spacing[2]),
            orientation="".join(nib.orientations.aff2axcodes(ct.geometry.stored_affine)),
            hounsfield=value_range(counts),
            digest=image_digest(counts, ct.shape),
            block=block,
            block_start=start,
        )

    def _find(
        self, severity: str, kind: str, message: str, *, level: str = "", place: Place | None = None
    ) -> None:
        found = Finding(severity, kind, message, self.case.case_id, level, self.case.split, place)
        self.findings.append(found)

    def _try(self, kind: str, read: Callable[[], _Read]) -> _Read | None:
        """Result of `read`; None and an error of this kind where that fails."""
        try:
            return read()
        except UserError as error:
            self._find("error", kind, str(error))
            return None
        except Exception as error:  # an error that no check foresaw still concerns this case alone
            logging.debug("%s: cannot be examined", self.case.case_id, exc_info=True)
            self._find("error", kind, f"{type(error).__name__}: {error}")
            return None

    def _on_grid(self, path: Path | None, read: Callable[[Path], Volume]) -> Volume | None:
        """A label map or mask; where it does not lie on the grid of the CT, an error and None."""
        volume = None if path is None else self._try("file", lambda: read(path))
        if volume is not None:
            self._say_remarks(path, volume.geometry)
        if volume is None or self.geometry is None:
            return volume
        try:
            check_same_geometry(self.geometry, volume.geometry, str(self.case.ct), str(path))
        except UserError as error:
            message = str(error)
            if volume.shape != self.geometry.shape:  # else the error says it
                apart = corner_distance(self.geometry, volume.geometry)
                message += f" Corners of the two grids are up to {apart:.3g} mm apart."
            middle = Place("sagittal", self._middle(self.ct or volume))
            self._find("error", "geometry", message, place=middle)
            return None
        return volume

    def _say_remarks(self, path: Path | None, geometry: Geometry | None) -> None:
        """Warns of headers that contradict themselves."""
        if path is None or geometry is None:
            return
        for remark in geometry.remarks:
            remedy = "Mend the header, or convert the file again."
            self._find("warning", "header", f"{path.name}: {remark}. {remedy}")

    def _middle(self, volume: Volume) -> tuple[int, int, int]:
        d, h, w = (size // 2 for size in volume.shape)
        return d, h, w

    def _check_levels(self) -> None:
        if self.reading is None or self.labels is None:
            return
        by_level = {vertebra.level: vertebra for vertebra in self.vertebrae}
        for note in self.reading.notes:
            severity, kind = next(
                ((s, k) for words, s, k in _NOTES if words in note), ("warning", "labels")
            )
            first = note.split(" ")[0]
            vertebra = by_level.get(first)
            level = first if first in LEVELS else ""
            place = None
            if severity != "note":
                centre = self._middle(self.labels) if vertebra is None else vertebra.centre
                place = Place("sagittal", _voxel(centre))
            self._find(severity, kind, note, level=level, place=place)
        unknown = [str(label) for label, name, _ in self.reading.left_out if name == "unknown"]
        if unknown:
            self._find(
                *("warning", "other_ids"),
                f"ids {', '.join(unknown[:8])} do not belong to the scheme {self.reading.scheme} "
                "and are left out. If they are vertebrae, name the right scheme with "
                "--vertebra-scheme.",
            )

    def _check_boxes(self) -> None:
        """Reads the box file; where there is a label map too, the two must agree."""
        path, geometry = self.case.boxes, self.geometry
        if path is None and self.case.vertebrae is None:
            self._find(
                *("error", "file"),
                "neither a vertebra label map nor a box file. Name one in the columns 'vertebrae' "
                "or 'boxes' of the manifest.",
            )
        if path is None or geometry is None:
            return
        boxes = self._try(
            "boxes",
            lambda: vertebrae_from_boxes(
                path,
                geometry,
                inclusive=self.settings.boxes_inclusive,
                scheme=self.settings.vertebra_scheme or None,
            ),
        )
        if not boxes:
            return
        if self.case.vertebrae is None:
            self.vertebrae = boxes
            self._find(
                *("warning" if self.case.fractures else "note", "boxes_only"),
                "only boxes are given: a fracture of a neighbour that lies in the box counts for "
                "its vertebra. Give a label map of the vertebrae.",
            )
        labelled = {vertebra.level: vertebra for vertebra in self.vertebrae}
        wrong = [box.level for box in boxes if not _contains(box, labelled.get(box.level, box))]
        if wrong:
            first = labelled[wrong[0]]
            self._find(
                *("error", "boxes"),
                f"{path}: the boxes of {', '.join(wrong)} do not hold the bodies that the label "
                "map gives these levels (numbers reversed, or the boxes of another CT?). Mend the "
                "box file, or leave it out.",
                place=Place("sagittal", _voxel(first.centre)),
            )

    def _check_bone(self, ct: Volume) -> None:
        """Vertebrae are brighter than what lies around them."""
        if self.labels is None or not self.vertebrae:
            return
        darker = []
        margins = np.ceil(_AROUND_MM / ct.voxel_spacing).astype(int).tolist()
        for vertebra in self.vertebrae:
            box = tuple(
                slice(max(0, start - margin), stop + margin, max(1, (stop - start) // 48))
                for start, stop, margin in zip(vertebra.start, vertebra.stop, margins)
            )
            own = self.labels.array[box] == vertebra.label
            around = self.labels.array[box] == 0
            if own.any() and around.any():
                values = ct.array[box]
                if np.median(values[own]) < np.median(values[around]):
                    darker.append(vertebra)
        if 2 * len(darker) > len(self.vertebrae):
            self._find(
                *("warning", "not_bone"),
                f"in {len(darker)} of {len(self.vertebrae)} vertebrae the CT is darker than around "
                "them: the label map is mirrored or of another scan, or the CT is inverted. Look "
                "at the picture, and give the label map of this CT.",
                place=Place("sagittal", _voxel(darker[0].centre)),
            )

    def _lesions(self, fractures: Volume) -> tuple[LesionFacts, ...]:
        labels, names = self.labels, dict[int, str]()
        if labels is not None and labels.shape != fractures.shape:  # the CT could not be read
            labels = None
        if labels is not None and self.reading is not None:
            names = {v.label: v.level for v in self.vertebrae}
            names |= {i: name for i, name, _ in self.reading.left_out if name != "unknown"}
        crops = place_crops(self.vertebrae, fractures.geometry, self.settings)
        instances = Volume(separated(fractures.array, self.marked), fractures.geometry)
        lesions = measure_lesions(instances, labels if names else None, names, crops, self.settings)
        bone_ml = {v.level: v.volume_ml for v in self.vertebrae if names}
        self.findings += check_mask(self.case, fractures, lesions, bone_ml, marked=self.marked)
        return lesions

    def _grades(self) -> dict[str, int]:
        path = self.case.grades
        return (path and self._try("grades", lambda: grades_of(self.case, path))) or {}

    def _vertebra_facts(self, lesions: tuple[LesionFacts, ...] | None) -> tuple[VertebraFacts, ...]:
        grid = self.labels or self.fractures or self.ct
        if grid is None:
            return ()
        facts = []
        voxel_mm3 = float(abs(np.linalg.det(grid.affine[:3, :3])))
        for vertebra in self.vertebrae:
            by_mask: bool | None = None
            by_box: bool | None = None
            if lesions is not None and self.fractures is not None:
                shown = np.count_nonzero(self.fractures.array[vertebra.box])
                by_box = bool(shown * voxel_mm3 >= FRACTURED_MM3)
                if self.labels is not None:
                    owned = sum(dict(x.owners or ()).get(vertebra.level, 0) for x in lesions)
                    by_mask = bool(owned * voxel_mm3 >= FRACTURED_MM3)
            x, y, z = (float(mm) for mm in apply_affine(grid.affine, vertebra.centre))
            facts.append(
                VertebraFacts(
                    level=vertebra.level,
                    label=vertebra.label,
                    centre_mm=(x, y, z),
                    volume_ml=vertebra.volume_ml,
                    by_mask=by_mask,
                    by_box=by_box,
                )
            )
        return tuple(facts)


def corner_distance(a: Geometry, b: Geometry) -> float:
    """Largest distance in mm between corresponding corners of two canonical grids."""
    corners = np.array(list(itertools.product((0, 1), repeat=3)))
    first, second = (apply_affine(g.affine, corners * (np.array(g.shape) - 1)) for g in (a, b))
    return float(np.linalg.norm(first - second, axis=1).max())


def _contains(box: Vertebra, vertebra: Vertebra) -> bool:
    """Whether a box holds the middle of a body."""
    centre = np.asarray(vertebra.centre)
    return bool((centre >= box.start).all() and (centre < box.stop).all())


def _voxel(point: Sequence[float] | np.ndarray) -> tuple[int, int, int]:
    d, h, w = (round(float(at)) for at in point)
    return d, h, w
