"""What this program writes, so that it never takes it for what a user gives."""

from pathlib import Path

from vfseg.data.nifti import description
from vfseg.files import first_cells

NOTE = "vfseg: research use only"
"""Description in the header of every map."""

FACTS = "facts.json"
"""Stands beside every synthetic CT."""

DICOM_REPORT = "dicom/vfseg-report.dcm"
DICOM_LESIONS, DICOM_VERTEBRAE = "dicom/vfseg-lesions.dcm", "dicom/vfseg-vertebrae.dcm"
DICOM_MAP = "dicom/vfseg-probability.dcm"
DICOM_FILES = (DICOM_REPORT, DICOM_LESIONS, DICOM_VERTEBRAE, DICOM_MAP)
"""Results as DICOM, in the folder of a case; where the report stands, the others do."""

OUTSIDE_TRAINING = "outside_training"
"""Column of every table of results: what of the CT lies outside the range of training."""

_OLDER = {"suspected", "genant_margin"}  # columns of lists from before there was that one

_FOUND = {"level", "x", "y", "z", "confidence"}  # of points that were found


def is_own_file(path: Path) -> bool:
    """Whether a file is a map or a list of results, in any folder and under any name."""
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return description(path).startswith(NOTE)
    if name.endswith(".csv"):
        columns = set(first_cells(path))
        return OUTSIDE_TRAINING in columns or columns >= _OLDER or columns >= _FOUND
    return False


def is_own_dicom(folder: Path) -> bool:
    """Whether a folder holds the results of a case as DICOM."""
    return any((folder / Path(name).name).is_file() for name in DICOM_FILES)


def is_own_cohort(folder: Path) -> bool:
    """Whether a folder is a cohort of synthetic cases."""
    return (folder / "manifest.csv").is_file() and any(folder.glob(f"cases/*/{FACTS}"))
