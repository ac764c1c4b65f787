"""What `evaluation/summary.json` must look like where it is read back."""

from typing import Any

from vfseg.schemas import NUMBER, TEXT, TRUTH, All, Maybe, Table, misfit
from vfseg.settings import Rule, between, whole


def _numbers(count: int, words: str) -> Rule:
    return Rule(
        lambda values: len(values) == count and all(NUMBER.admits(value) for value in values), words
    )


_OPTIONAL = Rule(lambda value: value is None or NUMBER.admits(value), "a number or null")
_PAIR, _TRIPLE = _numbers(2, "two numbers"), _numbers(3, "three numbers")

FIGURE = {"value": _OPTIONAL, "ci95": Maybe(_PAIR), "n": Maybe(whole(0))}
"""A figure with its interval over so many patients; null where it is not defined."""


def _is_entry(entry: Any) -> bool:
    return not (isinstance(entry, dict) and "ci95" in entry) or not misfit(entry, FIGURE)


_ENTRIES = Table(Rule(_is_entry, "a figure with value, ci95 and n, or no figure"))
_THRESHOLD = {"value": between(0, 1), "chosen_on": TEXT}
_LEVEL = {
    **{name: Maybe(FIGURE) for name in ("dice", "pr_auc", "average_precision", "roc_auc")},
    **{name: Maybe(NUMBER) for name in ("prevalence", "prevalence_whole_ct")},
    "pr_auc_hu_threshold": Maybe(NUMBER),
    **{name: Maybe([_PAIR]) for name in ("froc", "pr_curve", "roc_curve")},
    **{name: Maybe(whole(0)) for name in ("healthy", "fractured", "lesions", "cases_with_hd95")},
    **{name: Maybe([_TRIPLE]) for name in ("reliability", "reliability_scaled")},
    "temperature": Maybe({"value": _OPTIONAL}),
}
_LEVELS = ("slice", "voxel", "lesion", "vertebra", "verdict", "case", "calibration")

SUMMARY: dict[str, Any] = {
    **{"split": Maybe(TEXT), "cases": Maybe(whole(0)), "synthetic": Maybe(TRUTH)},
    **{"step": Maybe(whole(0)), "steps": Maybe([whole(0)]), "data": Maybe(TEXT)},
    **{f"{of}threshold": Maybe(_THRESHOLD) for of in ("", "slice_", "vertebra_")},
    **{level: Maybe(All((_ENTRIES, _LEVEL))) for level in _LEVELS},
    **{f"by_{of}": Maybe(Table(_ENTRIES)) for of in ("level", "size", "grade", "pattern")},
}
"""Of any version: what is missing is shown as not measured."""

EVALUATED = SUMMARY | {"synthetic": TRUTH, "threshold": _THRESHOLD}
"""Of an evaluation that maps are drawn by."""

REMEDY = "Run --mode evaluate, which writes it anew."
