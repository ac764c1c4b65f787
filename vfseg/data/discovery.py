"""Finds the cases of a data set: by its manifest, or by how its files are named and laid out.

A file belongs to the CT that, in this order, has its BIDS name; its name in another folder
(`ct/7.nii.gz`, `fractures/7.nii.gz`); its case number; a name with which its own begins; or that is
the only one in its folder. A file that fits several CTs, or none, is reported and not used; a CT
with two files for one purpose is left out.
"""

import dataclasses
import os
import re
from collections.abc import Iterable
from pathlib import Path

from vfseg.data.cases import Case, check_manifest
from vfseg.data.dicom import holds_dicom, is_series_path
from vfseg.data.dicom_file import is_dicom_file
from vfseg.data.grades import graded_subjects
from vfseg.data.outputs import is_own_cohort, is_own_dicom, is_own_file
from vfseg.data.patients import spelled_twice, spellings
from vfseg.data.roles import CT_WORD, NIFTI, SPECIAL, role_of, stem_of
from vfseg.data.vertebra_labels import is_class_folder
from vfseg.errors import UserError

MANIFEST = "manifest.csv"
_ROLES = ("vertebrae", "boxes", "fractures", "grades")
_OWN = "own"  # what this program wrote
_SHOWN = 8
_LEFT_OUT = re.compile(r": left out, |^line \d+: ")
_CHANNEL = re.compile(r"_0000$")  # as nnU-Net names the only channel of an image
_LAYOUTS = (
    "Name the files in a manifest.csv, or lay them out as VerSe/BIDS (*_ct.nii.gz, "
    "*_seg-vert_msk.nii.gz), as TotalSegmentator does (a label map, or a folder of masks, beside "
    "the CT), or name them by a shared case number (cut_li7.txt)."
)


def find_cases(
    path: str | os.PathLike, *, follow_links: bool = False
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Finds the cases of a manifest, of a folder, or the one case of a CT.

    A folder with a `manifest.csv` is read by it. A folder that itself holds the slices of a DICOM
    series is one case; so is a NIfTI file. Every other folder is searched with all folders below
    it: VerSe/BIDS, TotalSegmentator's output beside a CT, files paired by a case number, DICOM
    series in folders of their own. What this program wrote is not looked at.

    Args:
        path: of the manifest, the folder or the CT.
        follow_links: whether links of a manifest may lead out of its folder.

    Returns:
        The cases by name, and notes: what was left out or not used, and why; what was assumed.

    Raises:
        UserError: no such path, no manifest, or no case; with what was found instead.
    """
    path = Path(path)
    try:
        if path.is_dir() and (path / MANIFEST).is_file():
            path = path / MANIFEST
        path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise UserError(f"{path}: {error.strerror}. Check the path.") from error
    if path.suffix.lower() == ".csv":
        cases, problems = check_manifest(path, follow_links=follow_links)
        notes = tuple(
            f"{path}: left out, {problem}" if is_left_out(problem) else problem
            for problem in problems
        )
    elif path.is_dir() and not holds_dicom(path):
        cases, notes = _search(path)
    elif path.exists() or is_series_path(path):
        cases, notes = (case_of_ct(path),), ()
    else:
        raise UserError(f"{path}: no such file or folder. Check the path.")
    if not cases:
        raise UserError("\n  ".join([f"{path}: no case found. {_LAYOUTS}", *_some(notes)]))
    return cases, notes


def case_of_ct(
    path: Path,
    *,
    vertebrae: Path | None = None,
    boxes: Path | None = None,
    points: Path | None = None,
) -> Case:
    """The case of one CT, which is named after it: its id does not depend on what else is known.

    Args:
        path: NIfTI file, or DICOM series.
        vertebrae: its label map.
        boxes: its box file.
        points: middles of its vertebral bodies.
    """
    name = id_of(_without_ct(stem_of(path)) or path.resolve().parent.name)
    return Case(name, name, path, vertebrae, boxes, points=points)


def is_left_out(note: str) -> bool:
    """Whether a note of `find_cases` or a problem of `check_manifest` says that a case is left out.

    Other notes say what was assumed, or which files are not used.
    """
    return bool(_LEFT_OUT.search(note))


@dataclasses.dataclass(frozen=True)
class _Item:
    """A file, or a folder that counts as one, and what its name says."""

    path: Path
    role: str  # "" where its name does not say, `_OWN`, else as in `role_of`
    stem: str
    key: str  # BIDS entities without `seg`; "" where the name is not BIDS
    numbers: frozenset[int]  # in the name


def _search(root: Path) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    notes: list[str] = []
    items = list(_items(root, notes))
    scans = [item for item in items if item.role == "ct"]
    if len(scans) > 1:  # a number that all CTs share, such as a spacing, names no case
        shared = frozenset.intersection(*(scan.numbers for scan in scans))
        if all(scan.numbers == shared for scan in scans):
            shared = frozenset()
        items = [dataclasses.replace(item, numbers=item.numbers - shared) for item in items]
        scans = [item for item in items if item.role == "ct"]
    owned: dict[Path, dict[str, list[Path]]] = {scan.path: {} for scan in scans}
    unused = []
    for item in items:
        if item.role not in _ROLES:
            if not item.role and item.path.name.lower().endswith((*NIFTI, ".csv")):
                unused.append(item.path)
            if item.role == SPECIAL:
                notes.append(f"{_at(root, item.path)}: a pipe, socket or device, passed over")
            continue
        subjects = graded_subjects(item.path) if item.role == "grades" else ()
        owners = _named(subjects, scans) if subjects else _owners(item, scans)
        if len(owners) == 1 or item.role == "grades":
            for owner in owners:
                owned[owner.path].setdefault(item.role, []).append(item.path)
        if not owners:
            notes.append(f"{_at(root, item.path)}: belongs to no CT, not used")
        elif len(owners) > 1 and item.role != "grades":
            fitting = ", ".join(_at(root, owner.path) for owner in owners[:3])
            notes.append(
                f"{_at(root, item.path)}: fits {len(owners)} CTs ({fitting}), not used; name its "
                "CT in a manifest"
            )
    own = [item.path for item in items if item.role == _OWN]
    if own:
        notes.append(f"written by this program, not looked at: {_listed(root, own)}")
    if unused:
        notes.append(
            "not used, as their names do not say what they are (a CT, vertebrae, fractures?): "
            + _listed(root, unused)
        )
    cases = []
    for scan, name in zip(scans, _names(root, scans)):
        found = owned[scan.path]
        double = next((role for role in _ROLES if len(found.get(role, ())) > 1), "")
        if not name or double:
            listed = ", ".join(_at(root, path) for path in found.get(double, ()))
            why = (
                f"several files for its {double}: {listed}" if double else "its name is not unique"
            )
            notes.append(f"{_at(root, scan.path)}: left out, {why}; choose in a manifest")
            continue
        if not found.keys() & {"vertebrae", "boxes"}:
            notes.append(
                f"{name}: neither a label map of the vertebrae nor boxes; a prediction finds them"
            )
        patient = scan.key.split("_")[0] if scan.key.startswith("sub-") else name
        files = {role: paths[0] for role, paths in found.items()}
        cases.append(Case(name, patient, scan.path, **files))  # type: ignore[arg-type]
    if any(case.patient_id == case.case_id for case in cases) and len(cases) > 1:
        notes.append("without a manifest or BIDS names, each CT counts as a patient of its own")
    notes += spelled_twice((case.patient_id, case.split) for case in cases)
    return tuple(sorted(cases, key=lambda case: case.case_id)), tuple(notes)


def _items(root: Path, notes: list[str]) -> Iterable[_Item]:
    """All files below a folder; folders of masks and of DICOM slices count as one.

    Folders that cannot be read are noted.
    """

    def pass_over(unread: Path) -> None:
        notes.append(f"{_at(root, unread)}: a folder that cannot be read, passed over")

    walk = os.walk(root, onerror=lambda error: pass_over(Path(error.filename)))
    for folder, below, names in walk:
        below[:] = sorted(name for name in below if not name.startswith("."))
        path = Path(folder)
        try:
            role = "" if path == root else _role_of_folder(path)
        except (OSError, UserError):
            pass_over(path)
            below[:] = []
            continue
        if role:
            yield _Item(path, role, *_meaning(path))
        if role in (_OWN, "vertebrae"):  # one thing with all that is in it
            below[:] = []
            continue
        for name in sorted(names):
            file = path / name
            if not name.startswith(".") and not is_dicom_file(file):
                role = role_of(file, "" if path == root else path.name)
                own = role != SPECIAL and is_own_file(file)
                yield _Item(file, _OWN if own else role, *_meaning(file))


def _role_of_folder(path: Path) -> str:
    """What a folder counts as that is one item: `_OWN`, "vertebrae", "ct"; "" for any other one."""
    if is_own_cohort(path) or is_own_dicom(path):
        return _OWN
    if is_class_folder(path):
        return "vertebrae"
    return "ct" if holds_dicom(path) else ""


def _meaning(path: Path) -> tuple[str, str, frozenset[int]]:
    """Stem, BIDS key and numbers of a name."""
    stem = stem_of(path)
    entities = [part for part in stem.split("_") if "-" in part]
    bids = stem.startswith("sub-")
    key = "_".join(e for e in entities if not e.startswith(("seg-", "space-"))) if bids else ""
    return stem, key, frozenset(int(run) for run in re.findall(r"\d+", stem))


def _owners(item: _Item, scans: list[_Item]) -> list[_Item]:
    """CTs to which an item belongs by the first rule that fits any."""
    if item.key:
        return [scan for scan in scans if scan.key == item.key]
    alike = [
        scan
        for scan in scans
        if item.stem in (scan.stem, _without_ct(scan.stem), _CHANNEL.sub("", scan.stem))
    ]
    if len(alike) == 1:
        return alike
    folder = item.path.parent
    beside = [scan for scan in scans if scan.path.parent == folder]
    for nearby in (beside, scans):
        owners = [scan for scan in nearby if item.numbers and item.numbers <= scan.numbers]
        if owners:
            return owners
    owners = [
        scan
        for scan in beside
        if any(
            start and re.match(re.escape(start) + r"[^a-zA-Z0-9]", item.stem)
            for start in (scan.stem, _without_ct(scan.stem))
        )
    ]
    if owners:
        longest = max(len(scan.stem) for scan in owners)
        return [scan for scan in owners if len(scan.stem) == longest]
    if item.numbers and any(scan.numbers for scan in scans):
        return []  # of another case
    beneath = [scan for scan in scans if folder in scan.path.parents]
    return beneath if len(beneath) == 1 else []


def _named(subjects: Iterable[str], scans: list[_Item]) -> list[_Item]:
    """CTs of the subjects that a table of grades names."""
    known = set(subjects) - {""}
    return [
        scan
        for scan in scans
        if any(
            spellings(name, known)
            for name in (scan.key, scan.key.split("_")[0], _without_ct(scan.stem))
        )
    ]


def _names(root: Path, scans: list[_Item]) -> list[str]:
    """A name for each CT; "" where no name is its own."""
    own = [scan.key or _without_ct(scan.stem) for scan in scans]
    names = list(own)
    folders = [scan.path.parent.relative_to(root).as_posix().replace("/", "_") for scan in scans]
    for index, (name, folder) in enumerate(zip(own, folders)):
        if scans[index].path.is_dir():  # "dicom" names nobody
            names[index] = f"{folder}_{name}" if folder != "." else name
        elif not name:
            names[index] = folder if folder != "." else root.resolve().name
        elif own.count(name) > 1 and not scans[index].key:
            names[index] = f"{folder}_{name}"
    names = [id_of(name) for name in names]
    lower = [name.casefold() for name in names]
    return [name if lower.count(name.casefold()) == 1 else "" for name in names]


def id_of(name: str) -> str:
    """A name as a case id, fit as a folder name."""
    return re.sub(r"[^\w.-]+", "_", name).strip("_.-") or "case"


def _without_ct(stem: str) -> str:
    """Name of the case in the name of its CT: `CT_12` -> `12`, `example_ct` -> `example`."""
    return CT_WORD.sub("_", stem).strip("_.-")


def _at(root: Path, path: Path) -> str:
    return str(path.relative_to(root))


def _listed(root: Path, paths: list[Path]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(_at(root, path) for path in paths[:_SHOWN]) + more


def _some(notes: Iterable[str]) -> list[str]:
    notes = list(notes)
    more = len(notes) - _SHOWN
    return notes[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])
