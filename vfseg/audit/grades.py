"""Grades against the fracture mask: whether they name the same vertebrae."""

from collections.abc import Iterator, Mapping, Sequence

from vfseg.audit.findings import Finding, LesionFacts, Place
from vfseg.data.cases import Case
from vfseg.data.levels import Vertebra


def check_grades(
    case: Case,
    grades: Mapping[str, int],
    lesions: Sequence[LesionFacts] | None,
    vertebrae: Sequence[Vertebra],
) -> Iterator[Finding]:
    """Vertebrae whose grade and fracture mask contradict each other.

    Args:
        case: for the messages.
        grades: level -> 0 (none) to 3 (severe).
        lesions: of its fracture mask; where they are not attributed to levels (no mask, or no label
            map) nothing can be compared.
        vertebrae: those in the CT; grades of others are ignored.
    """
    if lesions is None or any(lesion.owners is None for lesion in lesions):
        return
    for vertebra in vertebrae:
        level = vertebra.level
        own = [x for x in lesions if dict(x.owners or ()).get(level, 0) > 0]
        voxels = sum(dict(x.owners or ())[level] for x in own)
        grade = grades.get(level)
        if grade is None or (grade > 0) == (voxels > 0):
            continue
        found = f"{voxels} voxels of the fracture mask belong to it"
        if not voxels:
            found = "no voxel of the fracture mask belongs to it (an old fracture without a mask?)"
        d, h, w = own[0].point if own else (round(float(at)) for at in vertebra.centre)
        yield Finding(
            *("warning", "grade"),
            f"{level} has grade {grade}, but {found}. Check the grade, the levels and the mask.",
            case.case_id,
            level,
            case.split,
            Place("sagittal", (d, h, w)),
        )
