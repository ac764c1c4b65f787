"""Two runs on the same cases: differences on the same resamples of patients.

Intervals of two runs that overlap say little about their difference: a hard patient is hard for
both. Drawn together, the patients cancel, and what is left is the difference of the models.

References:
    Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 16.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vfseg.data.patients import count_people
from vfseg.errors import UserError
from vfseg.evaluation.measures import MEASURES, Measure, States, read_states
from vfseg.evaluation.metrics import number, three_decimals
from vfseg.evaluation.statistics import (
    MINIMUM_PATIENTS,
    often_defined,
    resampled_values,
    sum_by_patient,
)
from vfseg.json_files import write_json

_MOST_NAMED = 5


def compare_runs(workdir: Path, other: Path, theirs: States, *, seed: int) -> dict[str, Any]:
    """Compares the evaluations of two workdirs; writes `evaluation/comparison.json` in the first.

    Args:
        workdir: of this run.
        other: of the run to compare with.
        theirs: its counts.
        seed: of the bootstrap.

    Returns:
        {"this", "other", "cases", "patients", "measures": [...]}, see `compare_states`.

    Raises:
        UserError: this run is not evaluated, or the two are not of the same cases.
    """
    own = read_states(workdir / "evaluation" / "states.npz")
    comparison = {
        "this": str(workdir),
        "other": str(other),
        "cases": len(own.cases),
        "patients": count_people(own.patients),
        "measures": compare_states(own, _in_order_of(own, theirs, workdir, other), seed=seed),
    }
    write_json(workdir / "evaluation" / "comparison.json", comparison)
    return comparison


def compare_states(own: States, other: States, *, seed: int) -> list[dict[str, Any]]:
    """Every figure that both runs have.

    Args:
        own: counts of this run.
        other: of the other, rows in the same order.
        seed: of the bootstrap.

    Returns:
        For each figure {"level", "name", "this", "other", "difference", "ci95", "in_favour"}: the
        difference is this - other; the last is the fraction of resamples, 0..1, in which this run
        is better (ties count half). The last two are null under 5 patients.
    """
    return [
        _difference(measure, own, other, seed)
        for measure in MEASURES
        if measure.state in own.counts and measure.state in other.counts
    ]


def _difference(measure: Measure, own: States, other: States, seed: int) -> dict[str, Any]:
    both = [sum_by_patient(run.counts[measure.state], run.patients) for run in (own, other)]
    values = [number(measure.metric(states.sum(axis=0, keepdims=True))[0]) for states in both]
    row: dict[str, Any] = {
        **{"level": measure.level, "name": measure.name, "this": values[0], "other": values[1]},
        **{"difference": None, "ci95": None, "in_favour": None},
    }
    if values[0] is None or values[1] is None:
        return row
    row["difference"] = values[0] - values[1]
    if len(both[0]) >= MINIMUM_PATIENTS:
        drawn = [resampled_values(measure.metric, states, seed) for states in both]
        gains = drawn[0] - drawn[1]
        defined = often_defined(gains)
        if defined is not None:
            row["ci95"] = np.percentile(defined, [2.5, 97.5]).tolist()
            row["in_favour"] = float((np.sign(measure.better * defined) + 1).mean() / 2)
    return row


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """The comparison as a table for the terminal."""
    lines = [
        f"this: {comparison['this']}; other: {comparison['other']}; {comparison['cases']} cases of "
        f"{comparison['patients']} patients, the same resamples for both",
        f"{'measure':<40}{'this':>8}{'other':>8}{'difference':>12}   {'95 % interval':<18}"
        f"{'in favour':>9}",
    ]
    for row in comparison["measures"]:
        name = f"{row['level']} {row['name']}"
        bounds = " to ".join(map(three_decimals, row["ci95"])) if row["ci95"] else "-"
        favour = "-" if row["in_favour"] is None else f"{100 * row['in_favour']:.0f} %"
        widths = {"this": 8, "other": 8, "difference": 12}
        figures = "".join(f"{three_decimals(row[key]):>{n}}" for key, n in widths.items())
        lines.append(f"{name:<40}{figures}   {bounds:<18}{favour:>9}")
    return "\n".join(lines)


def _in_order_of(own: States, theirs: States, workdir: Path, other: Path) -> States:
    """The other run's rows in the order of this one's.

    Raises:
        UserError: the cases differ, or their files or their preparation.
    """
    place = {case: row for row, case in enumerate(theirs.cases)}
    apart = sorted(set(own.cases) ^ set(theirs.cases))
    if apart:
        raise UserError(
            f"{workdir} and {other} were not evaluated on the same test cases: {_named(apart)} in "
            "one of them only. Only runs on the same cases can be compared."
        )
    rows = [place[case] for case in own.cases]
    changed = [
        case
        for case, fingerprint, row in zip(own.cases, own.fingerprints, rows)
        if theirs.fingerprints[row] != fingerprint
    ]
    if changed:
        raise UserError(
            f"{workdir} and {other}: the files of {_named(changed)}, or their preparation "
            "(config.prepare), differ between the runs, so they were not scored on the same "
            "voxels. Evaluate both on the same cases, prepared alike."
        )
    return States(
        own.cases,
        own.patients,
        own.fingerprints,
        {name: counts[rows] for name, counts in theirs.counts.items()},
    )


def _named(cases: list[str]) -> str:
    more = f" and {len(cases) - _MOST_NAMED} more" if len(cases) > _MOST_NAMED else ""
    return ", ".join(cases[:_MOST_NAMED]) + more
