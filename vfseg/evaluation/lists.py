"""The two lists that a radiologist would want of a case: `lesions.csv` and `vertebrae.csv`.

Rows are dicts with the keys of `LESION_COLUMNS` and `VERTEBRA_COLUMNS`, in their order. None is an
empty cell: not measured, not known, or not defined without a label map.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from vfseg.data.attribution import nearest_labels
from vfseg.data.box import start_of
from vfseg.data.geometry import Geometry
from vfseg.data.grades import GENANT_LOSSES
from vfseg.data.outputs import OUTSIDE_TRAINING
from vfseg.data.probability import reaches
from vfseg.data.schemes import SPINE_IDS
from vfseg.data.spine import Spine
from vfseg.evaluation.genant import HeightLoss, height_losses
from vfseg.evaluation.heights import SITES, MeasuredBody, MeasuredSpine
from vfseg.evaluation.lesions import Detections
from vfseg.evaluation.map_evidence import MapEvidence
from vfseg.evaluation.verdict import evidence_of_ct, judge
from vfseg.inference.thresholds import Thresholds

VERTEBRA_COLUMNS = (
    *("case_id", "level", "verdict", "probability", "why"),
    *("score", "score_body", "score_arch", "suspected"),
    *(f"height_{site}_mm" for site in SITES),
    *("height_uncertainty_mm", "anterior_to_posterior", "middle_to_posterior"),
    *(f"loss_{site}" for site in SITES),
    *("loss_low", "loss_high", "compared_with"),
    *("genant", "genant_low", "genant_high", "genant_margin", "genant_shape", "genant_published"),
    *("flags", "disagreement", "heights_missing", OUTSIDE_TRAINING),
)
LESION_COLUMNS = (
    *("case_id", "lesion", "level", "volume_ml", "height", "depth", "side"),
    *("mean_probability", "max_probability", "uncertainty"),
    *("x_mm", "y_mm", "z_mm", "voxels_i", "voxels_j", "voxels_k", OUTSIDE_TRAINING),
)

# Supernumerary vertebrae, and the levels that others may count otherwise beside them.
_TRANSITIONAL = {"T13": ("T12", "L1"), "L6": ("L5",)}
_CENTRAL = 1 / 3  # of the half-width
_THIRDS = (1 / 3, 2 / 3)


def vertebra_rows(
    case_id: str,
    measured: MeasuredSpine,
    scores: Mapping[str, MapEvidence],
    thresholds: Thresholds,
    grades: Mapping[str, int] | None = None,
    outside: str | None = None,
) -> list[dict[str, Any]]:
    """Rows of `vertebrae.csv`, cranial to caudal.

    `loss_*` are fractions of the height that the nearest intact neighbours (`compared_with`; empty:
    the vertebra itself) let expect, see `genant`; `loss_low` and `loss_high` the 95 % interval of
    the largest, `genant_low` and `genant_high` the grades there, `genant_margin` its distance from
    the nearest cut-off in standard deviations.

    `verdict`, `probability` and `why` join the evidence of map and heights, see `verdict`; they are
    empty where validation could fit no rule.

    `flags` are "cut", "fragment", "transitional" (beside a T13 or an L6, so that its level may be
    counted otherwise), and those of points (`FLAGS` of `data.points`). `disagreement` is
    "heights" where only they say fracture, "map" where only it does, and only where the interval of
    the loss lies on one side of 20 %: a fresh fracture need not have lost height, an old one need
    not be seen by a map that learnt fresh ones.

    Args:
        case_id: name of the case.
        measured: its spine; without a label map there are no heights.
        scores: evidence of the map by level; a level that is absent was not predicted.
        thresholds: from validation. A score that reaches that of a vertebra is suspected.
        grades: published Genant grades by level.
        outside: see `outside_training`, for every row.
    """
    losses, odd = height_losses(measured.bodies), _transitional(measured.spine)
    levels = [vertebra.level for vertebra in measured.spine.vertebrae]
    evidence = evidence_of_ct(
        [scores[level].score if level in scores else None for level in levels],
        [losses[level].evidence if level in losses else None for level in levels],
    )
    rows = []
    for vertebra, body, known in zip(measured.spine.vertebrae, measured.bodies, evidence):
        level = vertebra.level
        row: dict[str, Any] = dict.fromkeys(VERTEBRA_COLUMNS)
        row |= {"case_id": case_id, "level": level}
        of_map, suspected = scores.get(level), None
        if of_map is not None:
            suspected = bool(reaches(np.asarray(of_map.score), thresholds.vertebra))
            row |= {"score": of_map.score, "score_body": of_map.body, "score_arch": of_map.arch}
            row["suspected"] = suspected
        verdict = thresholds.verdict and judge(thresholds.verdict, known)
        if verdict:
            row |= {"verdict": verdict.answer, "probability": verdict.probability}
            row["why"] = verdict.why
        if isinstance(body, MeasuredBody):
            row |= _height_cells(body, losses[level])
            row["disagreement"] = _disagreement(losses[level], suspected)
        else:
            row["heights_missing"] = body.reason
        row[OUTSIDE_TRAINING] = outside
        row["genant_published"] = (grades or {}).get(level)
        row["flags"] = " ".join([*vertebra.flags, *(["transitional"] if level in odd else [])])
        rows.append(row)
    return rows


def _height_cells(body: MeasuredBody, loss: HeightLoss) -> dict[str, Any]:
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


def _transitional(spine: Spine) -> set[str]:
    """Levels beside a supernumerary vertebra of the label map."""
    if spine.labels is None:
        return set()
    odd: set[str] = set()
    for names in SPINE_IDS.values():
        # The scheme of the map is the one that gives its vertebrae their levels.
        if all(names.get(v.label) == v.level for v in spine.vertebrae):
            for label, name in names.items():
                if name in _TRANSITIONAL and any((p == label).any() for p in spine.labels.array):
                    odd |= set(_TRANSITIONAL[name])
    return odd


def lesion_rows(
    case_id: str,
    found: Detections,
    measured: MeasuredSpine,
    geometry: Geometry,
    outside: str | None = None,
) -> list[dict[str, Any]]:
    """Rows of `lesions.csv`, cranial to caudal; of one vertebra the most probable lesion first.

    `level` is the vertebra whose region (mask grown by 2 mm, or box) holds most of the lesion,
    empty where none holds any. Its place is the median of its voxels in that body: `height` is
    "upper endplate", "middle" or "lower endplate" (thirds), `depth` "anterior", "middle",
    "posterior" (thirds) or "arch" (behind the body; then without a height), `side` "left",
    "central" or "right" (the middle third is central), all of the patient. Without a label map, or
    where the body is not measured, the place is empty. `voxels_i`, `voxels_j` and `voxels_k` are
    "first-last" along the axes of the file of the CT, from 0; in a DICOM series k is the slice.

    Args:
        case_id: name of the case.
        found: what was predicted.
        measured: spine of the case.
        geometry: of the whole CT.
        outside: see `outside_training`, for every row.
    """
    spacing = geometry.voxel_spacing
    bodies = {body.level: body for body in measured.bodies if isinstance(body, MeasuredBody)}
    rows = []
    for lesion, box in enumerate(ndimage.find_objects(found.components), 1):
        if box is None:
            continue
        inside = found.components[box] == lesion
        values = found.probability[box][inside]
        index = np.argwhere(inside) + start_of(box) + start_of(found.box)
        points = apply_affine(geometry.affine, index)
        level = _level(index, measured.spine, spacing)
        place = _place(bodies[level], points) if level in bodies else (None, None, None)
        spread = found.uncertainty
        unsure = None if spread is None else float(spread[box][inside].mean())
        cells = (
            *(case_id, lesion, level or None, len(index) * float(np.prod(spacing)) / 1000, *place),
            *(float(values.mean()), float(values.max()), unsure, *points.mean(axis=0).tolist()),
            *(f"{first}-{stop - 1}" for first, stop in _stored_range(geometry, index)),
            outside,
        )
        rows.append(dict(zip(LESION_COLUMNS, cells, strict=True)))
    order = [vertebra.level for vertebra in measured.spine.vertebrae]
    position = {level: number for number, level in enumerate(order)}
    rows.sort(
        key=lambda row: (
            position.get(row["level"], len(order)),
            *(-row["max_probability"], -row["volume_ml"], row["lesion"]),
        )
    )
    return rows


def _stored_range(geometry: Geometry, index: np.ndarray) -> list[tuple[int, int]]:
    """First voxel, and the one after the last, along i, j, k of the file, of [n, 3] voxels."""
    low, high = index.min(axis=0), index.max(axis=0) + 1
    ranges = {}
    for axis, flip, size, start, stop in zip(
        geometry.axes, geometry.flips, geometry.shape, low.tolist(), high.tolist()
    ):
        ranges[axis] = (size - stop, size - start) if flip else (start, stop)
    return [ranges[axis] for axis in range(3)]


def _level(index: np.ndarray, spine: Spine, spacing: np.ndarray) -> str:
    """The vertebra that most voxels [n, 3] of a lesion belong to, "" where they belong to none.

    Which one a voxel belongs to is told by `nearest_labels`, or by the boxes that hold it.
    """
    vertebrae = spine.vertebrae
    if spine.labels is None:
        held = [np.all((index >= v.start) & (index < v.stop), axis=1).sum() for v in vertebrae]
    else:
        owners = nearest_labels(index, spine.labels, spine.ids)
        held = [np.count_nonzero(owners == vertebra.label) for vertebra in vertebrae]
    if not any(held):
        return ""
    # Boxes overlap: of those that hold as much the one whose centre is nearest.
    most = [v for v, voxels in zip(vertebrae, held) if voxels == max(held)]
    centre = index.mean(axis=0)
    return min(most, key=lambda v: float(np.linalg.norm((v.centre - centre) * spacing))).level


def _place(body: MeasuredBody, points: np.ndarray) -> tuple[str | None, str, str]:
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
