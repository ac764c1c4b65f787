"""Whether anything has changed from which a result was made: hashes of files and settings."""

import hashlib
import json
from pathlib import Path
from typing import Any

from vfseg.data.cases import Case
from vfseg.data.vertebra_labels import label_files
from vfseg.data.volume import ct_files
from vfseg.errors import UserError
from vfseg.files import open_input


def case_fingerprint(case: Case, shaping: Any) -> str:
    """SHA-256 over the contents of a case's files, its names and whatever else shapes the result.

    Of a folder (a DICOM series, a mask for each class) the files that are read count, with their
    names. The split does not count: what is made of a case does not depend on it.

    Args:
        case: its CT, vertebrae, boxes, fractures and grades count.
        shaping: settings and versions, JSON-serialisable.

    Raises:
        UserError: a file cannot be read, or is none but a pipe or a device.
    """
    files = {"ct": ct_files(case.ct)}
    if case.vertebrae is not None:
        files["vertebrae"] = label_files(case.vertebrae)
    files |= {name: (p,) for name in ("boxes", "fractures", "grades") if (p := getattr(case, name))}
    digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode())
    digest.update(json.dumps([case.case_id, case.patient_id]).encode())
    for name, paths in files.items():
        names = [path.name for path in paths] if getattr(case, name).is_dir() else []
        digest.update(json.dumps([name, names]).encode())
        for path in paths:
            digest.update(content_digest(path, "Check the manifest."))
    return digest.hexdigest()


def ct_fingerprint(ct: Path) -> str:
    """16 hexadecimal digits over the contents of a CT's files, in the order in which they are read.

    Raises:
        UserError: a file cannot be read, or is none but a pipe or a device.
    """
    digest = hashlib.sha256()
    for path in ct_files(ct):
        digest.update(content_digest(path, "Check the path."))
    return digest.hexdigest()[:16]


def content_digest(path: Path, remedy: str) -> bytes:
    """SHA-256 of the content of a file of a user.

    Raises:
        UserError: it cannot be read, or is none but a pipe or a device; ends with the remedy.
    """
    try:
        with open_input(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). {remedy}") from error
