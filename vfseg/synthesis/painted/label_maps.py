"""The label maps of a folder, whose they are, and what is known of their vertebrae."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vfseg.data.discovery import id_of
from vfseg.data.fingerprint import content_digest
from vfseg.data.grades import graded_subjects, read_grades
from vfseg.data.outputs import FACTS, is_own_cohort, is_own_file
from vfseg.data.patients import spellings
from vfseg.data.roles import role_of, stem_of
from vfseg.data.vertebra_labels import is_class_folder, label_files
from vfseg.errors import UserError

_LABEL_MAP = {"vertebrae", "vert", "seg", "msk", "labels"}
"""Words that say that a file is a label map; they are no part of its name."""
_NOBODY = {
    *_LABEL_MAP,
    *("", "vertebra", "spine", "ct", "dseg", "segs", "segmentation", "segmentations"),
    *("label", "labelmap", "labelmaps", "map", "maps", "mask", "masks", "multilabel"),
    *("total", "totalseg", "totalsegmentator", "all", "classes", "anat", "derivatives"),
}
"""Words that are no name either, where there are no others."""


@dataclass(frozen=True)
class LabelMap:
    """One label map.

    Attributes:
        name: of the map, unique in its folder.
        patient_id: whose spine it is.
        path: file, or folder with a mask for each vertebra.
        grades: known Genant grades, level -> 0 to 3.
    """

    name: str
    patient_id: str
    path: Path
    grades: dict[str, int] = field(default_factory=dict)

    def fingerprint(self, shaping: Any) -> str:
        """SHA-256 over the content of its files, its names, its grades and what else shapes a case.

        Raises:
            UserError: a file cannot be read.
        """
        about = [shaping, self.name, self.patient_id, self.grades]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for file in label_files(self.path):
            digest.update(content_digest(file, "Check the folder."))
        return digest.hexdigest()


def find_label_maps(folder: str | os.PathLike) -> list[LabelMap]:
    """All label maps of vertebrae below a folder, by name.

    A map is known by its name or that of its folder, as beside a CT (`verse005_vertebrae.nii.gz`,
    `sub-verse004_seg-vert_msk.nii.gz`); or it is a folder with a mask for each vertebra, which may
    be `folder` itself. What this program wrote is not looked at.

    A patient is the first entity of a BIDS name, else the name without what says that it is a label
    map; where nothing is left (`0001/labels.nii.gz`, `s0001/segmentations/`), the nearest folder
    that names somebody. Grades are taken from every table of grades in the same folder that names
    the map or its patient, or that names nobody and lies beside a single map.

    Raises:
        UserError: no such folder, or no label map in it; two maps of one name; a damaged table.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"config.painted.label_maps={str(folder)!r}: no such folder. Name the folder that "
            "holds the label maps."
        )
    found: dict[str, LabelMap] = {}
    for path, beside in _maps(folder):
        name, patient = _names(path)
        if name in found:
            raise UserError(
                f"{folder}: {found[name].path.relative_to(folder)} and {path.relative_to(folder)} "
                "have one name. Rename one of them."
            )
        found[name] = LabelMap(name, patient, path, _grades(path, (name, patient), beside == 1))
    if not found:
        raise UserError(
            f"{folder}: no label map of vertebrae. Names such as CASE_vertebrae.nii.gz, "
            "sub-CASE_seg-vert_msk.nii.gz or CASE/vertebrae.nii.gz say what a file is; what this "
            "program wrote is not looked at."
        )
    return [found[name] for name in sorted(found)]


def _maps(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every label map, and how many there are in its folder."""
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        path = Path(place)
        if FACTS in names or (path != folder and is_own_cohort(path)):
            below[:] = []
            continue
        if is_class_folder(path):
            below[:] = []
            yield path, 1
            continue
        files = [path / name for name in sorted(names) if not name.startswith(".")]
        maps = [f for f in files if role_of(f, "" if path == folder else path.name) == "vertebrae"]
        maps = [file for file in maps if not is_own_file(file)]
        yield from ((file, len(maps)) for file in maps)


def _names(path: Path) -> tuple[str, str]:
    """Name of a map and its patient, as its own name says them or that of a folder above it."""
    session = ""
    whole = Path(os.path.abspath(path))  # a link keeps its own name
    for place in (whole, *whole.parents):
        stem = stem_of(place)
        entities = stem.split("_")
        if stem.startswith("sub-"):
            bids = [e for e in entities if "-" in e and not e.startswith(("seg-", "space-"))]
            return id_of("_".join(bids) + session), entities[0]
        if stem.startswith("ses-"):  # of the patient above
            session = f"_{stem}"
            continue
        name = "_".join(e for e in entities if e.lower() not in _LABEL_MAP)
        if not _NOBODY.issuperset(re.split(r"[\W_]+", name.lower())):
            return id_of(name + session), name
    return stem_of(path), stem_of(path)


def _grades(path: Path, names: tuple[str, ...], alone: bool) -> dict[str, int]:
    found: dict[str, int] = {}
    for table in sorted(path.parent.glob("*.csv")):
        subjects = graded_subjects(table)
        if subjects is None or not (subjects or alone):
            continue
        subject = next((name for name in names if spellings(name, subjects)), None)
        if subject is not None or not subjects:
            found |= read_grades(table, subject)
    return found
