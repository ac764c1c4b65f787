"""Figures by level, by size of the lesion, by grade and by pattern of the fracture.

Every cell is a ratio of two sums over units (lesions or vertebrae), pooled over cases, with an
interval over the patients that have such a unit at all.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from vfseg.data.schemes import LEVELS
from vfseg.evaluation.case_scores import CaseScores
from vfseg.evaluation.lesions import Lesion
from vfseg.evaluation.ratio import ratio_of_columns
from vfseg.evaluation.statistics import estimate
from vfseg.evaluation.truth import ACROSS_SLICES
from vfseg.evaluation.vertebrae import VertebraScore

UNKNOWN = "unknown"
_PATTERNS = ("endplate", "split", "burst", ACROSS_SLICES)

Cells = dict[str, tuple[float, float]]
"""Name of a figure -> what a unit adds to its numerator and its denominator."""


def tables(
    scores: Sequence[CaseScores], vertebra_thresholds: Sequence[float], *, seed: int
) -> dict[str, dict[str, Any]]:
    """`by_level`, `by_size`, `by_grade` and `by_pattern` of the summary.

    Args:
        scores: of the test cases.
        vertebra_thresholds: from validation, of each case.
        seed: of the bootstrap.

    Returns:
        Table -> group -> {"lesions", "lesion_sensitivity", "voxel_recall", "vertebrae",
        "fractured", "sensitivity", "specificity", "dice_positives",
        "false_positive_ml_healthy"}, of which a group has those that its units can have. A table
        is empty where nothing is known to group by.
    """
    lesions = [list(s.lesions.lesions) if s.lesions else [] for s in scores]
    grades = [{v.level: v.grade for v in s.vertebrae if v.grade is not None} for s in scores]
    sizes = _quartiles([x.volume_ml for case in lesions for x in case])
    of_level, of_size, of_grade, of_pattern = (_Table(len(scores)) for _ in range(4))
    for row, (score, known) in enumerate(zip(scores, grades)):
        for lesion in lesions[row]:
            cells = dict(_lesion_cells(lesion))
            of_level.add(row, lesion.level or UNKNOWN, "lesions", cells)
            of_size.add(row, _size_name(lesion.volume_ml, sizes), "lesions", cells)
            of_grade.add(row, str(known.get(lesion.level, UNKNOWN)), "lesions", cells)
            of_pattern.add(row, lesion.pattern or UNKNOWN, "lesions", cells)
        for vertebra in score.vertebrae:
            cells = dict(_vertebra_cells(vertebra, vertebra_thresholds[row]))
            of_level.add(row, vertebra.level, "vertebrae", cells)
            of_grade.add(row, str(known.get(vertebra.level, UNKNOWN)), "vertebrae", cells)
    order = {
        "by_level": (of_level, LEVELS),
        "by_size": (of_size, [_size_name(high, sizes) for _, high in sizes]),
        "by_grade": (of_grade, ("0", "1", "2", "3")),
        "by_pattern": (of_pattern, _PATTERNS),
    }
    patients = [s.case.patient_id for s in scores]
    return {name: table.rows(names, patients, seed) for name, (table, names) in order.items()}


class _Table:
    """Sums of cells by group and case."""

    def __init__(self, cases: int):
        self._cases = cases
        self._counts: dict[str, dict[str, int]] = {}
        self._sums: dict[str, dict[str, np.ndarray]] = {}

    def add(self, case: int, group: str, unit: str, cells: Cells) -> None:
        counts = self._counts.setdefault(group, {})
        counts[unit] = counts.get(unit, 0) + 1
        sums = self._sums.setdefault(group, {})
        for name, pair in cells.items():
            sums.setdefault(name, np.zeros((self._cases, 2)))[case] += pair

    def rows(self, order: Sequence[str], patients: Sequence[str], seed: int) -> dict[str, Any]:
        groups = [group for group in (*order, UNKNOWN) if group in self._counts]
        if groups == [UNKNOWN]:
            return {}
        rows: dict[str, Any] = {}
        for group in groups:
            rows[group] = dict(self._counts[group])
            for name, sums in self._sums[group].items():
                some = np.flatnonzero(sums[:, 1]).tolist()
                own = [patients[case] for case in some]
                rows[group][name] = estimate(ratio_of_columns, sums[some], own, seed=seed)
        return rows


def _lesion_cells(lesion: Lesion) -> Iterator[tuple[str, tuple[float, float]]]:
    yield "lesion_sensitivity", (lesion.found[0] is not None, 1)
    yield "voxel_recall", (lesion.recalled * lesion.volume_ml, lesion.volume_ml)


def _vertebra_cells(
    vertebra: VertebraScore, threshold: float
) -> Iterator[tuple[str, tuple[float, float]]]:
    tp, fp, fn, _ = vertebra.overlap
    suspected = vertebra.suspected(threshold)
    if vertebra.fractured:
        yield "sensitivity", (suspected, 1)
        yield "dice_positives", (2 * tp, 2 * tp + fp + fn)
    else:
        yield "specificity", (not suspected, 1)
        yield "false_positive_ml_healthy", (fp * vertebra.voxel_ml, 1)


def _quartiles(volumes: Sequence[float]) -> list[tuple[float, float]]:
    """(low, high) of the quarters of the lesions by volume, mL."""
    if not volumes:
        return []
    edges = np.quantile(volumes, [0, 0.25, 0.5, 0.75, 1])
    return [(float(a), float(b)) for a, b in pairwise(edges)]


def _size_name(volume_ml: float, quartiles: Sequence[tuple[float, float]]) -> str:
    """The first quarter whose upper end the volume does not exceed."""
    for number, (low, high) in enumerate(quartiles, 1):
        if volume_ml <= high:
            return f"Q{number}: {low:.2g} to {high:.2g} mL"
    raise ValueError(f"{volume_ml} mL is above every quarter")
