"""A synthetic case on disk: its volumes, its grades, and what was drawn, written last."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vfseg.data.cases import Case
from vfseg.data.outputs import FACTS
from vfseg.data.schemes import SCHEMES
from vfseg.data.volume import Volume, write_ct, write_labels
from vfseg.digests import noticed, write_digests
from vfseg.errors import UserError
from vfseg.files import atomic_file, write_table
from vfseg.schemas import TEXT, read_checked

FILES = {
    "ct": "ct.nii.gz",
    "vertebrae": "vertebrae.nii.gz",
    "fractures": "fractures.nii.gz",
    "grades": "grades.csv",
}
"""Column of the manifest -> name of the file in the folder of a case."""

_VERSE = {level: label for label, level in SCHEMES["verse"].items()}


def write_case_files(
    folder: Path,
    ct: Volume,
    labels: np.ndarray,
    fractures: np.ndarray,
    grades: Mapping[str, int],
    facts: Mapping[str, Any],
) -> None:
    """Writes a case to its folder, whose name is its id.

    Args:
        folder: made if it does not exist.
        ct: int16 HU; its grid is that of the other volumes.
        labels: vertebrae, uint8 or uint16 `d h w`.
        fractures: instances, uint8 `d h w`.
        grades: level -> Genant grade.
        facts: what was drawn, JSON-serialisable; training never reads it.

    Raises:
        UserError: a file cannot be written.
    """
    (folder / FACTS).unlink(missing_ok=True)
    write_ct(folder / FILES["ct"], ct.array, ct.geometry)
    write_labels(folder / FILES["vertebrae"], labels, ct.geometry)
    write_labels(folder / FILES["fractures"], fractures, ct.geometry)
    columns = ("subject", "verse_label", "vertebra", "genant_grade")
    rows = [
        dict(zip(columns, (folder.name, _VERSE[level], level, grade)))
        for level, grade in grades.items()
    ]
    write_table(folder / FILES["grades"], rows, columns)
    with atomic_file(folder / FACTS) as file:
        file.write(json.dumps(facts, indent=1).encode())
    write_digests(folder, (*FILES.values(), FACTS))


def is_written(folder: Path) -> bool:
    """Whether a case was written to its end, and is as it was written."""
    return all((folder / name).exists() for name in (*FILES.values(), FACTS)) and not noticed(
        folder
    )


def is_made_of(folder: Path, fingerprint: str) -> bool:
    """Whether a case whose facts name a fingerprint was written to its end, and is as written."""
    try:
        facts = read_checked(folder / FACTS, {"fingerprint": TEXT})
    except UserError:
        return False
    return is_written(folder) and facts is not None and facts["fingerprint"] == fingerprint


def case_in(folder: Path, patient_id: str, split: str) -> Case:
    """The case of a folder that `write_case_files` has written or will write."""
    files = {column: folder / name for column, name in FILES.items()}
    return Case(folder.name, patient_id, split=split, **files)
