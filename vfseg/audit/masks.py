"""What is odd about the fracture mask of a case."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vfseg.audit.findings import Finding, LesionFacts, Place
from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM
from vfseg.data.box import label_boxes
from vfseg.data.cases import Case
from vfseg.data.instances import LESION_MM3
from vfseg.data.schemes import LEVELS
from vfseg.data.volume import Volume
from vfseg.errors import quantity

# Fractions of the voxels of a lesion, or of the volume of a vertebra, from which on something is
# said.
_OUTSIDE_ERROR, _OUTSIDE_WARNING = 0.5, 0.1
_SECOND_OWNER = 0.1
_WHOLE_VERTEBRA = 0.6
_UNCROPPED = 0.01
_MOST_INSTANCES = 30
_MOST_SHOWN = 5


def check_mask(
    case: Case,
    fractures: Volume,
    lesions: Sequence[LesionFacts],
    bone_ml: Mapping[str, float],
    *,
    marked: bool,
) -> Iterator[Finding]:
    """Findings about a fracture mask that lies on the grid of its CT.

    Args:
        case: for the messages.
        fractures: the mask.
        lesions: measured in it.
        bone_ml: volume of each labelled level; empty where there is no label map.
        marked: whether the masks of the data set tell fractures apart by their values.
    """

    def find(severity: str, kind: str, message: str, lesion: LesionFacts | None = None) -> Finding:
        level = lesion.owners[0][0] if lesion and lesion.owners else ""
        place = Place("sagittal", lesion.point) if lesion else None
        return Finding(severity, kind, message, case.case_id, level, case.split, place)

    name = case.fractures.name if case.fractures else "fracture mask"
    if not lesions:
        yield find(
            *("note", "empty_mask"),
            f"{name} is empty: the case counts as healthy. If nobody looked for fractures, leave "
            "the cell 'fractures' empty.",
        )
        return
    values = list(label_boxes(fractures.array))
    if values[-1] > 255:
        yield find(
            *("error", "mask_values"),
            f"{name} has values up to {values[-1]}; instances are numbered 1 to 255. Number them "
            "anew.",
        )
    if len(values) > _MOST_INSTANCES:
        yield find(
            *("warning", "mask_values"),
            f"{name} has {len(values)} values: instances of fractures, or the labels of something "
            "else? Give the mask of the fractures.",
        )
    if marked and values[-1] != len(values):
        gaps = sorted(set(range(1, values[-1])) - set(values))
        yield find(
            *("note", "mask_gaps"),
            f"the values of {name} have gaps (no {', '.join(map(str, gaps[:8]))}"
            f"{' …' if len(gaps) > 8 else ''}); this does no harm, as every value is one fracture.",
        )
    kind = "instance" if marked else "component"
    grouped = defaultdict(list)
    for lesion in lesions:
        for severity, name_of_kind, words in _about(lesion, bone_ml):
            grouped[severity, name_of_kind].append((lesion, words))
    for (severity, name_of_kind), group in grouped.items():
        shown = "; ".join(
            f"{kind} {lesion.number} {words}" for lesion, words in group[:_MOST_SHOWN]
        )
        if len(group) > _MOST_SHOWN:
            shown += f"; and {len(group) - _MOST_SHOWN} more"
        remedy = _REMEDIES[name_of_kind]
        yield find(severity, name_of_kind, f"{name}: {shown}. {remedy}", group[0][0])
    tiny = [x for x in lesions if x.voxels == 1 or 1000 * x.volume_ml < LESION_MM3]
    if tiny:
        sizes = ", ".join(f"{x.number} ({quantity(x.voxels, 'voxel')})" for x in tiny[:8])
        yield find(
            *("warning", "tiny_lesion"),
            f"{len(tiny)} of {len(lesions)} lesions of {name} have one voxel or less than "
            f"{LESION_MM3:g} mm³: {kind} {sizes}{' …' if len(tiny) > 8 else ''}. Each counts as a "
            "lesion: remove those that are slips of the brush.",
            tiny[0],
        )
    stray = [x for x in lesions if x.single_voxels and x.components > 1]
    if stray:
        yield find(
            *("note", "stray_voxels"),
            f"{quantity(sum(x.single_voxels for x in stray), 'single voxel')} apart from the rest "
            f"of the instance ({', '.join(str(x.number) for x in stray[:8])}) in {name}.",
        )


_REMEDIES = {
    "outside_vertebra": "These voxels belong to no vertebra: check that both masks are of this CT, "
    "and mend the one that is wrong.",
    "two_vertebrae": "One instance is one fracture of one vertebra: divide it, or mend the border "
    "in the label map.",
    "other_level": "Only T4 to L5 count.",
    "whole_vertebra": "A label of the fractured vertebra, not of the fracture? A model learns what "
    "the mask shows.",
    "outside_crops": "A model never sees what no crop holds: enlarge config.prepare.crop_shape, or "
    "label the vertebra that is missing.",
}


def _about(lesion: LesionFacts, bone_ml: Mapping[str, float]) -> Iterator[tuple[str, str, str]]:
    """What is odd about one lesion, as (severity, kind, what follows its name)."""
    outside = lesion.outside_fraction or 0.0
    if outside > _OUTSIDE_WARNING:
        yield (
            "error" if outside > _OUTSIDE_ERROR else "warning",
            "outside_vertebra",
            f"has {outside:.0%} of its {lesion.voxels} voxels farther than "
            f"{ATTRIBUTION_MARGIN_MM:g} mm from every vertebra of the label map",
        )
    owned = sum(count for _, count in lesion.owners or ())
    owners = [(o, n) for o, n in lesion.owners or () if n > _SECOND_OWNER * owned]
    if len(owners) > 1:
        parts = ", ".join(f"{n / owned:.0%} to {owner}" for owner, n in owners)
        yield "warning", "two_vertebrae", f"belongs by the nearest vertebra mask {parts}"
    elif owners and owners[0][0] not in LEVELS:
        yield "note", "other_level", f"lies in {owners[0][0]}"
    elif owners and lesion.volume_ml > _WHOLE_VERTEBRA * bone_ml.get(owners[0][0], np.inf):
        yield (
            *("warning", "whole_vertebra"),
            f"has {lesion.volume_ml:.1f} mL, nearly the whole {owners[0][0]} "
            f"({bone_ml[owners[0][0]]:.1f} mL)",
        )
    if lesion.uncropped_fraction > _UNCROPPED and outside <= _OUTSIDE_ERROR:
        yield (
            *("warning", "outside_crops"),
            f"has {lesion.uncropped_fraction:.0%} of its voxels in no crop",
        )
