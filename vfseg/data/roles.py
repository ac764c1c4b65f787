"""What a file of a data set is, as its name and the name of its folder say."""

import re
from pathlib import Path

from vfseg.data.boxes import BOX_EDGES
from vfseg.data.grades import graded_subjects
from vfseg.files import first_cells, is_special_file

SPECIAL = "special"
"""A pipe, a socket or a device, on which a reader could wait for ever."""
NIFTI = (".nii", ".nii.gz")
_TABLES = (".csv", ".txt")
# Words of a name, BIDS entities included, that say what a file is.
_FRACTURE = re.compile(r"frac|(?<![a-z])fx(?![a-z])|lesion")
_NOT_VERTEBRAE = re.compile(r"subreg|body|bodies|seg-vb|endplate|spinal_?c|(?<![a-z])disc|rib")
_VERTEBRA = re.compile(r"(?<![a-z])vert|totalseg")
_LABELS = re.compile(r"(?<![a-z])d?seg|label")  # of vertebrae, unless the folder says fractures
_OTHER_MASK = re.compile(r"mask|(?<![a-z])msk|(?<![a-z])gt(?![a-z])|prob")
_OTHER_FOLDER = re.compile(r"subreg|bodies|endplate|(?<![a-z])(disc|rib)")
CT_WORD = re.compile(r"[_.-]?(?<![a-z])ct(?![a-z])[_.-]?", re.IGNORECASE)


def role_of(path: Path, folder: str) -> str:
    """What a file is by its name; where that does not say, by the name of its folder.

    Args:
        path: of the file. A table is looked into.
        folder: name of its folder, "" where that says nothing.

    Returns:
        "ct", "vertebrae", "boxes", "fractures", "grades", "centroids", `SPECIAL`, or "" where the
        names do not say.
    """
    if is_special_file(path):
        return SPECIAL
    name = path.name.lower()
    if name.endswith("_ctd.json"):
        return "centroids"  # they say no more than the label map
    if name.endswith(_TABLES):
        if _is_box_file(path):
            return "boxes"
        return "grades" if graded_subjects(path) is not None else ""
    if not name.endswith(NIFTI):
        return ""
    stem = stem_of(path).lower()
    if _FRACTURE.search(stem):
        return "fractures"
    if _NOT_VERTEBRAE.search(stem):
        return ""
    if stem.startswith("sub-") and stem.endswith("_ct"):  # its entities may hold any word
        return "ct"
    if _VERTEBRA.search(stem):
        return "vertebrae"
    vote = "ct" if stem.startswith("sub-") else _vote(folder)
    if _LABELS.search(stem):
        return vote if vote == "fractures" else "vertebrae"
    if _OTHER_MASK.search(stem):
        return vote if vote != "ct" else ""
    if stem.startswith("sub-") or (vote != "ct" and CT_WORD.search(stem)):
        return ""  # a CT of that name, or a mask named after its CT?
    return vote


def _vote(folder: str) -> str:
    """What the files of a folder are by its name: a role, "" for other masks, else "ct"."""
    folder = folder.lower()
    kinds = {
        "fractures": _FRACTURE.search(folder),
        "vertebrae": _VERTEBRA.search(folder) or _LABELS.search(folder),
        "": _OTHER_FOLDER.search(folder) or _OTHER_MASK.search(folder),
    }
    said = [kind for kind, word in kinds.items() if word]
    if not said:
        return "ct"
    if CT_WORD.search(folder):
        return ""  # CTs of fractures, or fractures of CTs?
    return said[0]


def _is_box_file(path: Path) -> bool:
    """Whether a table is named as a box file, or its first line is one of a box file."""
    if re.match(r"cut_li\d", path.name.lower()):
        return True
    cells = [cell.lower() for cell in first_cells(path)]
    while cells and not cells[-1]:
        cells.pop()
    numbers = all(cell.lstrip("-").isdecimal() for cell in cells[1:])
    return set(cells) >= set(BOX_EDGES) or (len(cells) in (7, 11) and numbers)


def stem_of(path: Path) -> str:
    """Name of a file without its ending, or of a folder."""
    name = path.name
    for suffix in (".nii.gz", *((path.suffix,) if path.is_file() else ())):
        if name.lower().endswith(suffix.lower()):
            return name[: -len(suffix)]
    return name
