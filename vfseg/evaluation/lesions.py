"""Lesions: predicted components against the fractures of the truth, and FROC.

A prediction is a 26-connected component of the mask at the threshold, of at least 10 mm3; its score
is the highest probability in it. It hits an instance of the truth where their intersection over
union is at least 0.1 (0.2 as a second reading). An instance is found at the score of the best
component that hits it, however many do; a component that hits none is a false positive. False
positives are counted over all cases, healthy ones included.

References:
    Jin et al. (2020), "Deep-learning-assisted detection and segmentation of rib fractures from CT
    scans: development and validation of FracNet", EBioMedicine 62 (the matching rule).
    Chakraborty (1989), "Maximum likelihood analysis of free-response receiver operating
    characteristic (FROC) data", Medical Physics 16.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vfseg.data.box import Box
from vfseg.data.instances import LESION_MM3, connected
from vfseg.evaluation.ratio import ratio
from vfseg.evaluation.truth import KnownFractures, instance_voxels

HIT_IOU = (0.1, 0.2)


class Lesion(NamedTuple):
    """One instance of the truth.

    Attributes:
        instance: its id in the mask.
        volume_ml: its volume.
        recalled: fraction of its voxels that are predicted, 0..1.
        found: for each of `HIT_IOU` the score at which it is found, 0..1; None where it is missed.
        level: the vertebra that holds most of it, "" where none holds any.
        pattern: how it breaks, see `truth.known_patterns`; "" where that is not known.
    """

    instance: int
    volume_ml: float
    recalled: float
    found: tuple[float | None, ...]
    level: str = ""
    pattern: str = ""


@dataclass(frozen=True)
class CaseLesions:
    """Lesions of a case, and what was predicted beside them.

    Attributes:
        lesions: of the truth, without those that no crop shows any part of.
        false_positives: for each of `HIT_IOU` the scores of the components that hit nothing.
        hits: whether component 1, 2, ... hits an instance at the first of `HIT_IOU`.
        not_shown: number of instances that lie outside every crop.
    """

    lesions: tuple[Lesion, ...]
    false_positives: tuple[tuple[float, ...], ...]
    hits: tuple[bool, ...] = ()
    not_shown: int = 0


class Detections(NamedTuple):
    """What a map shows at its threshold, in one box of the CT.

    Attributes:
        box: of the CT; the arrays are `d h w` in it.
        probability: of the map, 0..1.
        mask: bool, what is predicted, parts that are too small for a lesion included.
        components: predicted lesions 1..n, int32, see `components`; 0 is none.
        uncertainty: spread of the map, 0..0.5; None where there is none.
    """

    box: Box
    probability: np.ndarray
    mask: np.ndarray
    components: np.ndarray
    uncertainty: np.ndarray | None = None


def components(mask: np.ndarray, voxel_mm3: float, least_mm3: float = LESION_MM3) -> np.ndarray:
    """26-connected components of a mask of at least some volume, numbered 1..n, int32.

    Args:
        mask: bool `d h w`.
        voxel_mm3: volume of a voxel.
        least_mm3: of a component.
    """
    labels, count = connected(mask)
    of_set = labels[mask]
    large = np.bincount(of_set, minlength=count + 1) * voxel_mm3 >= least_mm3
    number = np.zeros(count + 1, np.int32)
    number[large] = np.arange(1, 1 + np.count_nonzero(large))
    labels[mask] = number[of_set]
    return labels


def outside_of_large(
    mask: np.ndarray, parts: np.ndarray, voxel_mm3: float, least_mm3: float
) -> np.ndarray:
    """What of a mask lies in no component of at least some volume, bool.

    Args:
        mask: bool `d h w`.
        parts: its `components`, of at least a smaller volume, or that one.
        voxel_mm3: volume of a voxel.
        least_mm3: of the components that are taken away.
    """
    large = np.bincount(parts[mask]) * voxel_mm3 >= least_mm3
    if len(large):
        large[0] = False  # no component
    small = mask.copy()
    small[mask] = ~large[parts[mask]]
    return small


def match_lesions(
    found: Detections,
    known: KnownFractures,
    levels: Mapping[int, str],
    region: np.ndarray,
    voxel_mm3: float,
) -> CaseLesions:
    """Matches the predicted lesions of a case with its instances.

    Args:
        found: in a box that holds the region of the crops.
        known: of the whole CT; what lies outside the box is missed.
        levels: vertebra of an instance.
        region: bool, the union of the crops, of the shape of the box: an instance with no part in
            it is not scored.
        voxel_mm3: volume of a voxel.
    """
    truth, volumes = known.instances[found.box], instance_voxels(known.instances)
    count, ids = int(found.components.max(initial=0)), len(volumes)
    inside = found.components > 0
    of_inside = found.components[inside]
    sizes = np.bincount(of_inside, minlength=count + 1)
    scores = np.zeros(count + 1)
    np.maximum.at(scores, of_inside, found.probability[inside])
    pairs = of_inside.astype(np.int64) * ids + truth[inside]
    both = np.bincount(pairs, minlength=(count + 1) * ids).reshape(count + 1, ids)
    recalled = np.bincount(truth[found.mask], minlength=ids)
    shown = np.bincount(truth[region & (truth > 0)], minlength=ids) > 0
    iou = both / np.maximum(sizes[:, None] + volumes - both, 1)
    iou[0], iou[:, 0] = 0, 0
    hits = [iou >= limit for limit in HIT_IOU]
    instances = [i for i in np.flatnonzero(volumes).tolist() if i > 0]
    lesions = [
        Lesion(
            instance=i,
            volume_ml=float(volumes[i]) * voxel_mm3 / 1000,
            recalled=float(recalled[i] / volumes[i]),
            found=tuple(
                float(scores[hit[:, i]].max()) if hit[:, i].any() else None for hit in hits
            ),
            level=levels.get(i, ""),
            pattern=known.patterns.get(i, ""),
        )
        for i in instances
        if shown[i]
    ]
    false = tuple(tuple(scores[1:][~hit[1:].any(axis=1)].tolist()) for hit in hits)
    return CaseLesions(
        tuple(lesions),
        false,
        hits=tuple(hits[0][1:].any(axis=1).tolist()),
        not_shown=len(instances) - len(lesions),
    )


def lesion_states(cases: Sequence[CaseLesions], reading: int) -> np.ndarray:
    """Additive counts of cases: int64 "cases 2 1+k".

    Column 0 holds the number of cases and of missed lesions; the others, in rising order of the k
    scores that occur, hold false positives and found lesions.

    Args:
        cases: at least one.
        reading: index into `HIT_IOU`.
    """
    false = [case.false_positives[reading] for case in cases]
    found = [[x.found[reading] for x in case.lesions] for case in cases]
    met = [[score for score in row if score is not None] for row in found]
    scores = np.unique(np.concatenate([*map(np.asarray, false), *map(np.asarray, met)]))
    states = np.zeros((len(cases), 2, 1 + len(scores)), np.int64)
    for state, wrong, right, row in zip(states, false, met, found):
        np.add.at(state[0], 1 + np.searchsorted(scores, wrong), 1)
        np.add.at(state[1], 1 + np.searchsorted(scores, right), 1)
        state[:, 0] = 1, len(row) - len(right)
    return states


def froc(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False positives per case, and sensitivity, from the highest score down.

    Args:
        states: counts "... 2 1+k", see `lesion_states`.

    Returns:
        Two arrays "... 1+k"; the first point is (0, 0). NaN where there is no case, or no lesion.
    """
    counts = np.asarray(states, np.float64)
    falling = np.cumsum(counts[..., :0:-1], axis=-1)
    falling = np.concatenate([np.zeros_like(counts[..., :1]), falling], axis=-1)
    total = np.stack([counts[..., 0, 0], counts[..., 1, :].sum(-1)], axis=-1)[..., None]
    rates = ratio(falling, total)
    return rates[..., 0, :], rates[..., 1, :]


def froc_corners(states: np.ndarray) -> list[list[float]]:
    """The FROC curve of all cases together as [false positives per case, sensitivity].

    Only its corners: where the sensitivity rises, the point before that, and the last one.

    Args:
        states: counts "2 1+k", see `lesion_states`.
    """
    wrong, found = froc(states)
    if np.isnan(found).any():
        return []
    rises = np.diff(found, append=np.inf, prepend=-np.inf) > 0
    kept = rises[:-1] | rises[1:]
    return np.stack([wrong, found], axis=1)[kept].tolist()


def sensitivity_at(states: np.ndarray, false_positives: float = 1.0) -> np.ndarray:
    """Highest sensitivity of the FROC curve at no more than so many false positives per case.

    Where the whole list has fewer, it is that of the whole list: nothing is extrapolated.

    Args:
        states: counts "... 2 1+k", see `lesion_states`.
        false_positives: per case, 0 or more.
    """
    wrong, sensitivity = froc(states)
    return np.where(wrong <= false_positives, sensitivity, 0).max(axis=-1) + 0 * sensitivity[..., 0]


def lesion_average_precision(states: np.ndarray) -> np.ndarray:
    """Area under precision over recall, step-wise; lesions that are never found add nothing.

    Precision = found lesions / (found lesions + false positives), at each score and above.

    Args:
        states: counts "... 2 1+k", see `lesion_states`.

    Returns:
        Values in [0, 1], shape "...", NaN where there is no lesion.
    """
    counts = np.asarray(states, np.float64)
    falling = np.cumsum(counts[..., :0:-1], axis=-1)
    met, listed = falling[..., 1, :], falling.sum(axis=-2)
    precision = met / np.maximum(listed, 1)
    gained = np.einsum("...k,...k->...", precision, counts[..., 1, :0:-1])
    total = counts[..., 1, :].sum(axis=-1)
    return ratio(gained, total)


def lesion_sensitivity(states: np.ndarray) -> np.ndarray:
    """Fraction of the lesions that the whole list finds; NaN where there is no lesion."""
    return froc(states)[1][..., -1]


def false_positives_per_case(states: np.ndarray) -> np.ndarray:
    """False positives of the whole list, per case."""
    return froc(states)[0][..., -1]
