"""The two lists that a radiologist would want of a case: `lesions.csv` and `vertebrae.csv`.

Rows are dicts with the keys of `LESION_COLUMNS` and `VERTEBRA_COLUMNS`, in their order; None is an
empty cell: not measured, not known, or not to be said without a label map.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM
from vfseg.data.geometry import Geometry
from vfseg.data.grades import GENANT_LOSSES
from vfseg.data.levels import SPINE_IDS, Vertebra
from vfseg.data.probability import reaches
from vfseg.data.volume import Volume
from vfseg.evaluation.genant import HeightLoss, height_losses
from vfseg.evaluation.heights import SITES, Body, Unmeasured, measure_bodies

VERTEBRA_COLUMNS = (
    *("case_id", "level", "score", "suspected"),
    *(f"height_{site}_mm" for site in SITES),
    *("height_uncertainty_mm", "anterior_to_posterior", "middle_to_posterior"),
    *(f"loss_{site}" for site in SITES),
    *("loss_low", "loss_high", "compared_with"),
    *("genant", "genant_low", "genant_high", "genant_margin", "genant_shape", "genant_published"),
    *("flags", "disagreement", "heights_missing"),
)
LESION_COLUMNS = (
    *("case_id", "lesion", "level", "volume_ml", "height", "depth", "side"),
    *("mean_probability", "max_probability", "uncertainty", "x_mm", "y_mm", "z_mm"),
)

NO_LABEL_MAP = "no label map"

# Supernumerary vertebrae, and the levels that others may count otherwise beside them.
_TRANSITIONAL = {"T13": ("T12", "L1"), "L6": ("L5",)}
_CENTRAL = 1 / 3  # of the half-width
_THIRDS = (1 / 3, 2 / 3)


def bodies_of(labels: Volume | None, vertebrae: Sequence[Vertebra]) -> list[Body | Unmeasured]:
    """The bodies of a case, cranial to caudal; without a label map none is measured."""
    if labels is None:
        return [Unmeasured(vertebra.level, NO_LABEL_MAP) for vertebra in vertebrae]
    return measure_bodies(labels, vertebrae)


def vertebra_rows(
    case_id: str,
    labels: Volume | None,
    vertebrae: Sequence[Vertebra],
    scores: Mapping[str, float],
    threshold: float,
    grades: Mapping[str, int] | None = None,
    *,
    bodies: Sequence[Body | Unmeasured] | None = None,
) -> list[dict[str, Any]]:
    """Rows of `vertebrae.csv`, cranial to caudal.

    `loss_*` are shares of the height that the nearest intact neighbours (`compared_with`; empty:
    the vertebra itself) let expect, see `genant`; `loss_low` and `loss_high` the 95 % interval of
    the largest, `genant_low` and `genant_high` the grades there, `genant_margin` its distance from
    the nearest cut-off in standard deviations.

    `flags` are "cut", "fragment" and "transitional" (beside a T13 or an L6, so that its level may
    be counted otherwise). `disagreement` is "heights" where they alone say fracture, "map" where it
    alone does, and only where the interval of the loss lies on one side of 20 %: a fresh fracture
    need not have lost height, an old one need not be seen by a map that learnt fresh ones.

    Args:
        case_id: name of the case.
        labels: vertebra ids; None where only boxes were given, and then no heights.
        vertebrae: of the case, cranial to caudal, as read from `labels`.
        scores: probability of fracture by level; a level that is absent was not predicted.
        threshold: a score that reaches it is suspected.
        grades: published Genant grades by level.
        bodies: from `bodies_of`, where they are measured already.
    """
    if bodies is None:
        bodies = bodies_of(labels, vertebrae)
    losses, odd = height_losses(bodies), _transitional(labels, vertebrae)
    rows = []
    for vertebra, body in zip(vertebrae, bodies):
        level = vertebra.level
        score = scores.get(level)
        suspected = None if score is None else bool(reaches(np.asarray(score), threshold))
        row: dict[str, Any] = dict.fromkeys(VERTEBRA_COLUMNS)
        row |= {"case_id": case_id, "level": level, "score": score, "suspected": suspected}
        if isinstance(body, Body):
            row |= _height_cells(body, losses[level])
            row["disagreement"] = _disagreement(losses[level], suspected)
        else:
            row["heights_missing"] = body.reason
        row["genant_published"] = (grades or {}).get(level)
        row["flags"] = " ".join([*vertebra.flags, *(["transitional"] if level in odd else [])])
        rows.append(row)
    return rows


def _height_cells(body: Body, loss: HeightLoss) -> dict[str, Any]:
    anterior, _, posterior = body.heights.tolist()
    low, high = loss.interval
    return {
        **{f"height_{site}_mm": float(h) for site, h in zip(SITES, body.heights)},
        "height_uncertainty_mm": float(body.uncertainty.max()),
        "anterior_to_posterior": anterior / posterior,
        "middle_to_posterior": float(body.heights[1]) / posterior,
        **{f"loss_{site}": None if np.isnan(x) else float(x) for site, x in zip(SITES, loss.loss)},
        "loss_low": low,
        "loss_high": high,
        "compared_with": " ".join(loss.references),
        "genant": loss.grade,
        "genant_low": loss.grade_interval[0],
        "genant_high": loss.grade_interval[1],
        "genant_margin": loss.margin,
        "genant_shape": loss.shape,
    }


def _disagreement(loss: HeightLoss, suspected: bool | None) -> str | None:
    if suspected is None:
        return None
    low, high = loss.interval
    if low >= GENANT_LOSSES[0] and not suspected:
        return "heights"
    return "map" if high < GENANT_LOSSES[0] and suspected else ""


def _transitional(labels: Volume | None, vertebrae: Sequence[Vertebra]) -> set[str]:
    """Levels beside a supernumerary vertebra of the label map."""
    if labels is None:
        return set()
    odd: set[str] = set()
    for names in SPINE_IDS.values():
        # The scheme of the map is the one that gives its vertebrae their levels.
        if all(names.get(v.label) == v.level for v in vertebrae):
            for label, name in names.items():
                if name in _TRANSITIONAL and any((plane == label).any() for plane in labels.array):
                    odd |= set(_TRANSITIONAL[name])
    return odd


def lesion_rows(
    case_id: str,
    probability: np.ndarray,
    components: np.ndarray,
    labels: Volume | None,
    vertebrae: Sequence[Vertebra],
    geometry: Geometry,
    uncertainty: np.ndarray | None = None,
    *,
    start: Sequence[int] = (0, 0, 0),
    bodies: Sequence[Body | Unmeasured] | None = None,
) -> list[dict[str, Any]]:
    """Rows of `lesions.csv`, the most probable lesion first.

    `level` is the vertebra whose region (mask grown by 2 mm, or box) holds most of the lesion,
    empty where none holds any. Its place is the median of its voxels in that body: `height` is
    "upper endplate", "middle" or "lower endplate" (thirds), `depth` "anterior", "middle",
    "posterior" (thirds) or "arch" (behind the body; then without a height), `side` "left",
    "central" or "right" (the middle third is central), all of the patient.

    Args:
        case_id: name of the case.
        probability: of the map, 0..1, `d h w`.
        components: lesion ids 1..n of the prediction, 0 is none, `d h w`.
        labels: vertebra ids of the whole CT; None where only boxes were given: then no place.
        vertebrae: of the case.
        geometry: of the whole CT.
        uncertainty: map of it, `d h w`, in the map's own unit.
        start: voxel of the CT at which the three maps begin, where they are a box of it.
        bodies: from `bodies_of`, where they are measured already.
    """
    spacing = geometry.voxel_spacing
    boxes = ndimage.find_objects(components)
    if bodies is None:
        bodies = bodies_of(labels, vertebrae) if boxes else []
    measured = {body.level: body for body in bodies if isinstance(body, Body)}
    rows = []
    for lesion, box in enumerate(boxes, 1):
        if box is None:
            continue
        inside = components[box] == lesion
        values = probability[box][inside]
        index = np.argwhere(inside) + [side.start for side in box] + np.asarray(start)
        points = apply_affine(geometry.affine, index)
        level = _level(index, labels, vertebrae, spacing)
        place = _place(measured[level], points) if level in measured else (None, None, None)
        unsure = None if uncertainty is None else float(uncertainty[box][inside].mean())
        cells = (
            *(case_id, lesion, level or None, len(index) * float(np.prod(spacing)) / 1000, *place),
            *(float(values.mean()), float(values.max()), unsure, *points.mean(axis=0).tolist()),
        )
        rows.append(dict(zip(LESION_COLUMNS, cells, strict=True)))
    rows.sort(key=lambda row: (-row["max_probability"], -row["volume_ml"], row["lesion"]))
    return rows


def _level(
    index: np.ndarray, labels: Volume | None, vertebrae: Sequence[Vertebra], spacing: np.ndarray
) -> str:
    """The vertebra that most voxels [n, 3] of a lesion belong to, "" where they belong to none.

    A voxel belongs to the nearest mask within `ATTRIBUTION_MARGIN_MM`, as in `vertebra_regions`,
    but only the surroundings of the lesion are looked at.
    """
    if labels is None:
        held = [np.all((index >= v.start) & (index < v.stop), axis=1).sum() for v in vertebrae]
    else:
        reach = np.ceil(ATTRIBUTION_MARGIN_MM / spacing).astype(int)
        low = np.maximum(index.min(axis=0) - reach, 0)
        high = index.max(axis=0) + reach + 1
        ids = labels.array[tuple(slice(a, b) for a, b in zip(low, high))]
        known = np.isin(ids, [vertebra.label for vertebra in vertebrae])
        if not known.any():
            return ""
        away, nearest = ndimage.distance_transform_edt(
            ~known, sampling=spacing, return_indices=True
        )
        at = tuple((index - low).T)
        owners = ids[tuple(nearest)][at][away[at] <= ATTRIBUTION_MARGIN_MM]
        held = [np.count_nonzero(owners == vertebra.label) for vertebra in vertebrae]
    if not any(held):
        return ""
    # Boxes overlap: of those that hold as much the one whose centre is nearest.
    most = [v for v, voxels in zip(vertebrae, held) if voxels == max(held)]
    centre = index.mean(axis=0)
    return min(most, key=lambda v: float(np.linalg.norm((v.centre - centre) * spacing))).level


def _place(body: Body, points: np.ndarray) -> tuple[str | None, str, str]:
    up, front, side = np.median(body.relative(points), axis=0)
    lateral = "central" if abs(side) < _CENTRAL else "right" if side > 0 else "left"
    if front < 0:
        return None, "arch", lateral
    heights = ("lower endplate", "middle", "upper endplate")
    depths = ("posterior", "middle", "anterior")
    return (
        heights[int(np.searchsorted(_THIRDS, up))],
        depths[int(np.searchsorted(_THIRDS, front))],
        lateral,
    )
