"""Cases of three vertebrae on disk, to be spoilt, and what an audit finds in them."""

import numpy as np

from vfseg.audit import Audit, audit_cases
from vfseg.crops.settings import PrepareSettings
from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import write_ct, write_labels

SETTINGS = PrepareSettings(voxel_spacing=2.0, crop_shape=(32, 32, 32))
SHAPE = (60, 40, 40)  # d h w, 2 mm: 120 x 80 x 80 mm
LEVELS = {"L1": 20, "L2": 21, "L3": 22}  # VerSe
MIDDLES = {"L1": 46, "L2": 30, "L3": 14}
AFFINE = np.array([[2.0, 0, 0, -40], [0, 2, 0, -60], [0, 0, 2, 300], [0, 0, 0, 1]])


def bodies(ids=LEVELS):
    labels = np.zeros(SHAPE, np.uint8)
    for level, label in ids.items():
        at = MIDDLES[level]
        labels[at - 6 : at + 6, 10:30, 10:30] = label  # 24 x 40 x 40 mm: 38.4 mL
    return labels


def image(seed, labels=None):
    """Soft tissue in air, with bright bodies, and noise that makes every CT its own."""
    rng = np.random.default_rng(seed)
    labels = bodies() if labels is None else labels
    ct = np.full(SHAPE, 40.0)
    ct[:, :4], ct[:, -4:] = -1000, -1000
    ct[labels > 0] = 250
    return np.rint(ct + rng.normal(0, 15, SHAPE)).astype(np.int16)


def sheet(level="L2", value=1):
    """A fracture sheet of 2 x 12 x 12 voxels in the middle of a body: 2.3 mL, 4 mm thick."""
    mask = np.zeros(SHAPE, np.uint8)
    at = MIDDLES[level]
    mask[at - 1 : at + 1, 14:26, 14:26] = value
    return mask


def write_case(
    folder, name, *, seed=0, ct=None, labels=None, fractures=None, affine=AFFINE, stored="xyz",
    patient=None, split="train", label_affine=None, boxes=None,
):  # fmt: skip
    """Writes a case as RAS, or with the first two axes exchanged, and gives its row."""
    folder = folder / name
    ct = image(seed) if ct is None else ct
    labels = bodies() if labels is None else labels
    fractures = sheet() if fractures is None else fractures

    def geometry(of):
        d, h, w = ct.shape
        if stored == "xyz":
            return geometry_from((w, h, d), of)
        return geometry_from((h, w, d), of[:, [1, 0, 2, 3]])

    write_ct(folder / "ct.nii.gz", ct, geometry(affine))
    write_labels(
        folder / "v.nii.gz", labels, geometry(affine if label_affine is None else label_affine)
    )
    write_labels(folder / "f.nii.gz", fractures, geometry(affine))
    if boxes:
        (folder / "boxes.csv").write_text("\n".join(boxes))
    return Case(
        name,
        patient or name,
        folder / "ct.nii.gz",
        folder / "v.nii.gz",
        boxes=folder / "boxes.csv" if boxes else None,
        fractures=folder / "f.nii.gz",
        split=split,
    )


def audit(*cases, settings=SETTINGS, windows=None) -> Audit:
    return audit_cases(cases, settings, progress=False, windows=windows)


def found(result, kind, severity=None):
    """The only finding of a kind."""
    (finding,) = [f for f in result.findings if f.kind == kind]
    assert severity in (None, finding.severity)
    return finding


def kinds(result, *severities):
    return {f.kind for f in result.findings if f.severity in severities}
