"""How the report rounds what an evaluation measured."""

from collections.abc import Mapping
from typing import Any

from vfseg.evaluation import metrics
from vfseg.report.texts import text

NOT_KNOWN = "–"
_TRUTHS = {"true": "yes", "false": "no"}


def shown(value: float | None) -> str:
    """A figure with three significant places below 0.1, three decimals above.

    >>> shown(0.5678), shown(0.00231), shown(None)
    ('0.568', '0.00231', '–')
    """
    if value is None:
        return NOT_KNOWN
    return f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.3g}"


def shown_cell(cell: str | None, language: str = "en") -> str:
    """A cell of a table: figures as `shown`, whole numbers and words as they are, else a dash.

    >>> shown_cell("0.56789"), shown_cell("3"), shown_cell("sub-01"), shown_cell("")
    ('0.568', '3', 'sub-01', '–')
    >>> shown_cell("True"), shown_cell("True", "ja")
    ('yes', 'はい')
    """
    if not cell:
        return NOT_KNOWN
    if cell.lower() in _TRUTHS:
        return text(language, _TRUTHS[cell.lower()])
    if cell.isdecimal():
        return cell
    try:
        return shown(float(cell))
    except ValueError:
        return cell


def is_measure(entry: Any) -> bool:
    """Whether an entry of the summary is {"value", "ci95", "n"}."""
    return isinstance(entry, Mapping) and "ci95" in entry


def has_interval(measure: Mapping[str, Any]) -> bool:
    """Whether a measure has a 95 % interval of some width."""
    low, high = measure.get("ci95") or (0.0, 0.0)
    return bool(low != high)


def interval_of(measure: Mapping[str, Any], language: str = "en") -> str:
    """95 % interval of a measure, or why there is none.

    Patients who are all alike say nothing about how far others are from them: resampled, they
    give a width of 0, which would read as certainty.

    >>> interval_of({"value": 1.0, "ci95": [1.0, 1.0]})
    'none (patients all alike)'
    """
    if has_interval(measure):
        low, high = measure["ci95"]
        return f"{shown(low)}\N{NO-BREAK SPACE}–\N{NO-BREAK SPACE}{shown(high)}"
    if measure.get("value") is None:
        return NOT_KNOWN
    return text(language, "all_alike" if measure.get("ci95") else "few_patients")


def lift_of(level: Mapping[str, Any], language: str = "en") -> str:
    """PR-AUC of a level as a multiple of the prevalence; "" where that is not known."""
    times = metrics.lift(level["pr_auc"]["value"], level.get("prevalence"))
    return "" if times is None else text(language, "lift", times=f"{times:.3g}")
