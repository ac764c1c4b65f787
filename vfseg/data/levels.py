"""Vertebrae: what is plausible of them, and which label scheme the ids of a file follow.

Ids alone do not decide the scheme: those of TotalSegmentator v1 and v2 overlap and both grow
upwards, those of VerSe grow downwards, and a map of many organs has organs at the ids of VerSe. So
a scheme is checked against the anatomy: order along the body axis, distances between neighbours,
volumes.
"""

import itertools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from vfseg.data.box import Box, box_between
from vfseg.data.schemes import COLUMN, LEVELS, SCHEMES, SPINE_IDS
from vfseg.errors import UserError

# Ids above these are foreign to a scheme. TotalSegmentator's other ids are organs; its newer
# versions and its users keep adding some.
_HIGHEST_ID = {"verse": 28, "totalsegmentator": 65535, "totalsegmentator_v1": 104, "l5_to_t4": 24}
# What SPINEPS and TPTBox write beside the vertebrae of VerSe: 100 and 200 more than the id of a
# vertebra for the disc below it and for its endplates. None of it is bone of a vertebra.
_COMPANIONS = {
    "verse": {
        "subregions": range(41, 54),
        "cord, canal and endplates": range(60, 63),
        "discs": range(100, 129),
        "endplates": range(200, 229),
        "ignored": range(255, 256),
    }
}
_OUTDATED = "totalsegmentator_v1"
_OWN_NUMBERS = "l5_to_t4"  # small numbers, which anything may have

# Position along the spine, cranial to caudal; supernumerary vertebrae between their neighbours.
_POSITION: dict[str, float] = {
    **{name: float(i) for i, name in enumerate(COLUMN, 1)},
    **{"T13": 19.5, "L6": 24.5, "S1": 25.0, "sacrum": 26.0, "coccyx": 27.0},
}
# Adults, whole vertebrae with their arches, by position: measured on the label maps of a handful
# of spines (18 to 20 mL at T4, 54 to 66 mL at L3; 21 mm between T4 and T5, 32 to 38 mm between L2
# and L3). The limits leave room for small women, large men, severe fractures and maps of bodies.
_VOLUME_ML = ((8, 11, 15, 19, 22, 24), (19, 19, 26, 42, 55, 58))
_STEP_MM = (
    (3.5, 6.5, 8.5, 11.5, 14.5, 18.5, 21.5, 24.5, 25.5),
    (17, 17, 19.5, 21, 23, 28.5, 34, 34, 40),  # the last two: L5 to S1, S1 to the rest
)
_VOLUME_LIMITS = (0.2, 2.2)
_STEP_LIMITS = (0.55, 1.6)  # neighbours; one crushed vertebra leaves 0.7
_GAP_LIMITS = (0.7, 1.6)  # with levels missing between them; a number skipped in error leaves 0.5
# The upper quartile of the distances (fractures only shorten them) against the usual ones is about
# 1, but 1.45 where a lumbar spine is read as the thoracic one that version 1 has at its ids, and
# 0.7 the other way round. Beside another scheme the outdated version 1 counts only where it fits
# well: the spine of a small woman, read by version 2, is not that of a giant, read by version 1.
_SCALE_LIMITS = (0.78, 1.32)
_OUTDATED_SCALE_LIMITS = (0.88, 1.19)
_MORE_IDS = 2
_FRAGMENT_FRACTION = 0.15
_FRAGMENT_ELSEWHERE_ML = 2.0


@dataclass(frozen=True)
class Sighting:
    """Where one id of a file was seen.

    Attributes:
        centre_mm: [3] RAS+ mm.
        volume_ml: None where only a box is known.
        cut: the border of the volume cuts through it.
    """

    centre_mm: np.ndarray
    volume_ml: float | None = None
    cut: bool = False


@dataclass(frozen=True, eq=False)
class Vertebra:
    """One vertebra of T4 to L5 in a volume.

    Attributes:
        level: name, one of `LEVELS`.
        label: id in the file; 0 where the file names levels instead.
        start: first canonical voxel of its bounding box, (d, h, w).
        stop: end of the box, exclusive.
        centre: [3] canonical voxel of the middle of the vertebral body; middle of the box where
            only a box is known.
        voxels: number of its voxels; of the box where only a box is known.
        volume_ml: their volume.
        flags: "fragment" (less than 15 % of the usual volume of the level), "cut" (the border of
            the volume cuts through the body).
    """

    level: str
    label: int
    start: tuple[int, int, int]
    stop: tuple[int, int, int]
    centre: np.ndarray
    voxels: int
    volume_ml: float
    flags: tuple[str, ...] = ()

    @property
    def box(self) -> Box:
        """Its bounding box."""
        return box_between(self.start, self.stop)


def is_fragment(name: str, volume_ml: float | None) -> bool:
    """Whether a volume is less than 15 % of what the level usually has."""
    if volume_ml is None:
        return False
    if name not in LEVELS:
        return volume_ml < _FRAGMENT_ELSEWHERE_ML
    return volume_ml < _FRAGMENT_FRACTION * float(np.interp(_POSITION[name], *_VOLUME_ML))


def companion(scheme: str, label: int) -> str:
    """What an id means that is known beside the vertebrae of a scheme; "" where it is not known.

    >>> companion("verse", 119), companion("verse", 19), companion("totalsegmentator", 119)
    ('discs', '', '')
    """
    kinds = _COMPANIONS.get(scheme, {})
    return next((kind for kind, labels in kinds.items() if label in labels), "")


def decide_scheme(
    ids: Collection[int],
    sight: Callable[[int], Sighting],
    scheme: str | None,
    source: str,
) -> tuple[str, list[str]]:
    """Name of the label scheme, and remarks on what is odd under it.

    A named scheme is refused where the ids hold no T4 to L5, or where the levels are out of order
    along the body; implausible volumes and distances are remarks. Without a name every scheme has
    to pass all checks, also that no id is foreign to it, and the only one that does is taken; but
    never TotalSegmentator v1, nor "l5_to_t4" by a single vertebra.

    Args:
        ids: ids in the file, without background.
        sight: id -> sighting; called only for ids that a scheme takes for spine.
        scheme: name, or None.
        source: the file, for messages.

    Raises:
        UserError: the named scheme is unknown or contradicted; or none fits, or several do.
    """
    choices = ", ".join(SCHEMES)
    if scheme is not None:
        if scheme not in SCHEMES:
            raise UserError(f"no label scheme {scheme!r}. Name one of: {choices}.")
        verdict = _judge(scheme, ids, sight, named=True)
        if not verdict.refusal and not verdict.remarks:
            return scheme, []
        others = [n for n in _fitting({n: _judge(n, ids, sight) for n in SCHEMES}) if n != scheme]
        if verdict.refusal:
            hint = f"The ids fit: {', '.join(others)}." if others else f"Known schemes: {choices}."
            raise UserError(
                f"{source}: not label scheme {scheme}: {verdict.refusal}. {hint} Name the right "
                "one with --vertebra-scheme, or mend the labels."
            )
        return scheme, [*verdict.remarks, *(f"the ids fit the scheme {name}" for name in others)]
    verdicts = {name: _judge(name, ids, sight) for name in SCHEMES}
    fitting = _fitting(verdicts)
    single = fitting == [_OWN_NUMBERS] and len(verdicts[_OWN_NUMBERS].read) == 1
    if len(fitting) == 1 and fitting[0] != _OUTDATED and not single:
        return fitting[0], [f"label scheme {fitting[0]}: the only known one that fits"]
    reasons = "".join(f"\n  {name}: {verdict.problem}" for name, verdict in verdicts.items())
    if single:
        (label,) = verdicts[_OWN_NUMBERS].read
        known = [f"{names[label]} in {n}" for n, names in SPINE_IDS.items() if label in names]
        reasons += f"\n  one vertebra alone does not decide: {label} is {', '.join(known)}"
    raise UserError(
        f"{source}: cannot tell the label scheme of the ids {_ranges(ids)}:{reasons}\n"
        "Name it with --vertebra-scheme, or give a label map in one of these schemes."
    )


def missing_levels(present: Collection[str]) -> list[str]:
    """Levels absent between the topmost and the lowest one present.

    >>> missing_levels(["T11", "L2"])
    ['T12', 'L1']
    """
    places = [LEVELS.index(name) for name in present]
    return [name for name in LEVELS[min(places) : max(places)] if name not in present]


@dataclass(frozen=True)
class _Verdict:
    """Outcome of the checks of a scheme.

    Attributes:
        refusal: what rules it out, "" where nothing does.
        remarks: what is odd under it.
        read: ids that it takes for whole vertebrae.
        scale: distances of neighbours, as a multiple of the usual ones.
    """

    refusal: str
    remarks: tuple[str, ...] = ()
    read: frozenset[int] = frozenset()
    scale: float = 1.0

    @property
    def problem(self) -> str:
        return self.refusal or next(iter(self.remarks), "fits")


def _fitting(verdicts: Mapping[str, _Verdict]) -> list[str]:
    """Schemes without a problem, less those that explain the ids clearly worse than another.

    A scheme is worse where another one sees the same vertebrae and at least `_MORE_IDS` more, which
    it would take for organs that lie in a row like vertebrae by accident.
    """
    fit = {name: verdict for name, verdict in verdicts.items() if verdict.problem == "fits"}
    fit = {
        name: verdict
        for name, verdict in fit.items()
        if not any(
            other.read > verdict.read and len(other.read - verdict.read) >= _MORE_IDS
            for other in fit.values()
        )
    }
    low, high = _OUTDATED_SCALE_LIMITS
    if len(fit) > 1 and _OUTDATED in fit and not low <= fit[_OUTDATED].scale <= high:
        del fit[_OUTDATED]
    return list(fit)


def _judge(
    scheme: str, ids: Collection[int], sight: Callable[[int], Sighting], *, named: bool = False
) -> _Verdict:
    """Checks one scheme; foreign ids do not rule out a scheme that the user named."""
    names = {label: SPINE_IDS[scheme][label] for label in ids if label in SPINE_IDS[scheme]}
    if not any(name in LEVELS for name in names.values()):
        return _Verdict(f"there T4 to L5 are {_ranges(SCHEMES[scheme])}, found {_ranges(ids)}")
    foreign = [i for i in ids if i > _HIGHEST_ID[scheme] and not companion(scheme, i)]
    if foreign and not named:
        return _Verdict(f"knows no id {foreign[0]}")
    seen = {name: (label, sight(label)) for label, name in names.items()}
    whole = {
        name: entry for name, entry in seen.items() if not is_fragment(name, entry[1].volume_ml)
    }
    if not any(name in LEVELS for name in whole):
        return _Verdict("no vertebra of T4 to L5, only fragments of a few voxels")
    remarks, scale = _oddities(whole)
    return _Verdict(
        _disorder(whole),
        tuple(remarks),
        frozenset(label for label, _ in whole.values()),
        scale,
    )


def _disorder(seen: Mapping[str, tuple[int, Sighting]]) -> str:
    """What is wrong with the order along the body axis, "" where it is right."""
    order = sorted(seen, key=_POSITION.__getitem__)
    wrong = [
        (upper, lower)
        for upper, lower in itertools.pairwise(order)
        if seen[upper][1].centre_mm[2] <= seen[lower][1].centre_mm[2]
    ]
    if not wrong:
        return ""
    if len(wrong) == len(order) - 1 and len(wrong) > 1:
        return "its numbers run the other way along the spine (reversed order)"
    pairs = [f"{a} (id {seen[a][0]}) lies below {b} (id {seen[b][0]})" for a, b in wrong]
    return "; ".join(pairs[:3])


def _oddities(seen: Mapping[str, tuple[int, Sighting]]) -> tuple[list[str], float]:
    """Volumes and distances that no adult spine has, and the scale of the distances."""
    found = []
    for name, (label, sighting) in seen.items():
        if name in LEVELS and sighting.volume_ml is not None:
            usual = float(np.interp(_POSITION[name], *_VOLUME_ML))
            low, high = (limit * usual for limit in _VOLUME_LIMITS)
            if sighting.volume_ml > high or (sighting.volume_ml < low and not sighting.cut):
                found.append(
                    f"{name} (id {label}) has {sighting.volume_ml:.1f} mL, plausible are "
                    f"{low:.0f} to {high:.0f}"
                )
    end = 26 if "S1" in seen else 25  # a sacrum with S1 in it has its centre anywhere
    sound = sorted(
        (n for n, (_, s) in seen.items() if 3 <= _POSITION[n] <= end and not s.cut),
        key=_POSITION.__getitem__,
    )
    ratios = []
    for upper, lower in itertools.pairwise(sound):
        steps = math.ceil(_POSITION[lower] - _POSITION[upper])
        middle = (_POSITION[lower] + _POSITION[upper]) / 2
        usual = steps * float(np.interp(middle, *_STEP_MM))
        distance = float(np.linalg.norm(seen[upper][1].centre_mm - seen[lower][1].centre_mm))
        ratios.append(distance / usual)
        low, high = (limit * usual for limit in (_STEP_LIMITS if steps == 1 else _GAP_LIMITS))
        if not low <= distance <= high:
            found.append(
                f"{upper} (id {seen[upper][0]}) and {lower} (id {seen[lower][0]}) are "
                f"{distance:.0f} mm apart, plausible are {low:.0f} to {high:.0f}"
            )
    scale = float(np.quantile(ratios, 0.75)) if ratios else 1.0
    if not _SCALE_LIMITS[0] <= scale <= _SCALE_LIMITS[1]:
        found.append(
            f"the vertebrae are {scale:.2f} times as far apart as usual for "
            f"{sound[0]} to {sound[-1]}"
        )
    return found, scale


def _ranges(ids: Collection[int]) -> str:
    """Ids as runs, `1-3, 7`."""
    runs = []
    for _, group in itertools.groupby(enumerate(sorted(ids)), lambda pair: pair[1] - pair[0]):
        run = [label for _, label in group]
        runs.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}")
    return ", ".join(runs)
