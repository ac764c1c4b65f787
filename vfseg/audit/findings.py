"""What an audit finds: findings, and the facts of a case that are kept when its voxels are gone."""

from dataclasses import dataclass

import numpy as np

from vfseg.data.settings import PLANE_AXES

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Place:
    """What to draw of a case: one slice, and the point in it that matters.

    Attributes:
        plane: axial, coronal or sagittal.
        point: (d, h, w), canonical voxel of the CT.
    """

    plane: str
    point: tuple[int, int, int]

    @property
    def index(self) -> int:
        """Slice along the axis of the plane."""
        return self.point[PLANE_AXES[self.plane]]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or odd.

    Attributes:
        severity: "error" (results would be wrong, or the case cannot be used), "warning" (to be
            looked at), "note" (good to know).
        kind: stable short name, such as "geometry" or "leak".
        message: what was found, where, what to do.
        case_id, level, split: what it is about; empty where it is not about one.
        place: what to draw.
    """

    severity: str
    kind: str
    message: str
    case_id: str = ""
    level: str = ""
    split: str = ""
    place: Place | None = None

    @property
    def about(self) -> str:
        """Case, level and split in words; empty where it is the whole data set."""
        return " ".join(filter(None, (self.case_id, self.level, self.split)))


@dataclass(frozen=True)
class VertebraFacts:
    """One vertebra of T4 to L5.

    Attributes:
        level, label: name and id in the file.
        centre_mm: of the body, RAS+ mm.
        volume_ml: of the label, of the box where only a box is known.
        by_mask: fractured, counting fracture voxels nearest to its mask; None where not known.
        by_box: fractured, counting all fracture voxels in its box; None where not known.
    """

    level: str
    label: int
    centre_mm: tuple[float, float, float]
    volume_ml: float
    by_mask: bool | None = None
    by_box: bool | None = None


@dataclass(frozen=True)
class LesionFacts:
    """One reference lesion: an instance, or a component where the data set has binary masks.

    Attributes:
        number: id in the mask; running number of the component where masks are binary.
        voxels, volume_ml: its size.
        thickness_mm: of a sheet with the same mean depth below the surface.
        components: 26-connected parts.
        single_voxels: parts of one voxel.
        owners: (level or other part of the spine, voxels), largest first; a voxel belongs to the
            nearest vertebra mask within 2 mm. None where there is no label map.
        outside_fraction: of its voxels that belong to none; None where there is no label map.
        uncropped_fraction: of its voxels in no crop; 0 where no vertebra is known.
        reach_mm: half the side of the smallest cube around the middle of a vertebral body that
            holds it; None where no vertebra is known.
        point: (d, h, w), its deepest voxel.
    """

    number: int
    voxels: int
    volume_ml: float
    thickness_mm: float
    components: int
    single_voxels: int
    owners: tuple[tuple[str, int], ...] | None
    outside_fraction: float | None
    uncropped_fraction: float
    reach_mm: float | None
    point: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class CaseFacts:
    """What is kept of a case.

    Attributes:
        case_id, patient_id, split: from the manifest.
        usable: CT and vertebrae can be read and fit, and so does the fracture mask if one is named.
        stored_shape, stored_affine: of the CT; None where it cannot be read.
        shape, voxel_spacing: canonical (d, h, w), voxels and mm; None where the CT cannot be read.
        orientation: code of the stored axes such as "LPS".
        hounsfield: lowest and highest value.
        digest: equal for equal images, turned, mirrored or shifted in HU as they may be.
        block, block_start: a few stored voxels of the CT and where they lie, to look for in others.
        scheme: label scheme; "" where unknown, "boxes" where only boxes are given.
        vertebrae: T4 to L5, cranial to caudal.
        lesions: of the fracture mask; None where there is none.
    """

    case_id: str
    patient_id: str
    split: str
    usable: bool
    stored_shape: tuple[int, ...] | None = None
    stored_affine: np.ndarray | None = None
    shape: tuple[int, int, int] | None = None
    voxel_spacing: tuple[float, float, float] | None = None
    orientation: str = ""
    hounsfield: tuple[int, int] | None = None
    digest: str = ""
    block: np.ndarray | None = None
    block_start: tuple[int, int, int] = (0, 0, 0)
    scheme: str = ""
    vertebrae: tuple[VertebraFacts, ...] = ()
    lesions: tuple[LesionFacts, ...] | None = None


@dataclass(frozen=True, eq=False)
class Audit:
    """Result of an audit.

    Attributes:
        findings: errors first, then warnings, then notes; in each the data set before the cases.
        cases: facts of all cases, in the order of the manifest.
        windows: what a window sees, in words; "" where not asked.
        planes: of the windows; none where not asked.
        reach_mm: distance from the middle slice of a window to its last one.
    """

    findings: tuple[Finding, ...]
    cases: tuple[CaseFacts, ...]
    windows: str = ""
    planes: tuple[str, ...] = ()
    reach_mm: float = 0.0

    def count(self, severity: str) -> int:
        """Number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def usable(self) -> tuple[str, ...]:
        """Ids of the cases that can be prepared."""
        return tuple(case.case_id for case in self.cases if case.usable)


def have_one_affine(case: CaseFacts, other: CaseFacts) -> bool:
    """Whether the headers of two CTs say the same of where their voxels lie, to 0.001 mm."""
    own, others = case.stored_affine, other.stored_affine
    return own is not None and others is not None and np.allclose(own, others, atol=1e-3)
