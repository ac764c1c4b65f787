"""The cases of a data set compared: duplicates, crops, leaks, splits, prevalence."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vfseg.audit.findings import CaseFacts, Finding, have_one_affine
from vfseg.audit.parents import find_crops
from vfseg.data.patients import person
from vfseg.data.schemes import LEVELS
from vfseg.data.settings import SPLITS
from vfseg.errors import quantity

_LEAST_REACH_MM = 2.0
_SAME_PLACE_MM = 8.0


class Prevalence(NamedTuple):
    """Vertebrae with a known reference, and how many of them are fractured.

    Attributes:
        vertebrae: their number.
        by_mask: fractured, fractures attributed by the vertebra mask (boxes only: by the box).
        by_box: fractured, if every fracture in the box counted.
    """

    vertebrae: int
    by_mask: int
    by_box: int


def prevalence(cases: Sequence[CaseFacts], level: str = "", split: str | None = None) -> Prevalence:
    """Counts of a level and a split; all where they are not named."""
    chosen = [
        vertebra
        for case in cases
        for vertebra in case.vertebrae
        if (split is None or case.split == split) and level in ("", vertebra.level)
        if vertebra.by_box is not None
    ]
    return Prevalence(
        len(chosen),
        sum(bool(v.by_box if v.by_mask is None else v.by_mask) for v in chosen),
        sum(bool(v.by_box) for v in chosen),
    )


def examine_cohort(
    cases: Sequence[CaseFacts],
    files: Mapping[str, Path],
    plane_axes: Sequence[int],
    reach_mm: float,
) -> Iterator[Finding]:
    """Findings that no case shows by itself.

    Args:
        cases: facts of the cases.
        files: CT of each case.
        plane_axes: canonical axes along which the slices of windows follow each other; none where
            the windows are not known.
        reach_mm: distance from the middle slice of a window to its last one.
    """
    yield from _identities(cases)
    yield from _doubles(cases)
    yield from find_crops(cases, files)
    yield from _same_place(cases)
    yield from _splits(cases)
    yield from _attribution(cases)
    if plane_axes:
        yield from _windows(cases, plane_axes, reach_mm)


def _identities(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Two cases of one id; one patient in two splits."""
    for case_id, count in Counter(case.case_id.casefold() for case in cases).items():
        if count > 1:
            yield Finding(
                *("error", "case_id"),
                f"{count} cases are called {case_id} (upper and lower case are the same). Rename "
                "them: each needs a folder of its own.",
                case_id,
            )
    splits = defaultdict(set)
    for case in cases:
        if case.split:
            splits[case.patient_id].add(case.split)
    for patient, of_patient in splits.items():
        if len(of_patient) > 1:
            own = ", ".join(
                f"{case.case_id} ({case.split or 'no split'})"
                for case in cases
                if case.patient_id == patient
            )
            yield Finding(
                *("error", "leak"),
                f"patient {patient} is in {' and '.join(sorted(of_patient))}: {own}. Keep a "
                "patient in one split.",
            )


def _doubles(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """One image under two ids, whatever the headers say."""
    same = defaultdict(list)
    for case in cases:
        if case.digest:
            same[case.digest].append(case)
    for first, *others in same.values():
        for other in others:
            leak = first.split != other.split
            one_patient = person(first.patient_id) == person(other.patient_id)
            severity = "warning" if one_patient and not leak else "error"
            headers = ""
            if not have_one_affine(first, other):
                headers = " (their headers differ)"
            yield Finding(
                *(severity, "duplicate"),
                f"holds the same image as {first.case_id}{headers}"
                f"{', across splits' if leak else ''}. Keep one of them, or correct the path.",
                other.case_id,
                split=other.split,
            )


def _same_place(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Crops of one patient that claim one place in mm for different levels."""
    by_patient = defaultdict(list)
    for case in cases:
        if case.stored_affine is not None and case.vertebrae:
            by_patient[person(case.patient_id)].append(case)
    for own in by_patient.values():
        for a, b in itertools.combinations(own, 2):
            if not have_one_affine(a, b):
                continue
            for one, two in itertools.product(a.vertebrae, b.vertebrae):
                apart = np.linalg.norm(np.subtract(one.centre_mm, two.centre_mm))
                if one.level != two.level and apart < _SAME_PLACE_MM:
                    yield Finding(
                        *("error", "crop_affine"),
                        f"has the affine of {a.case_id}, and so {two.level} here and {one.level} "
                        f"there lie {apart:.1f} mm apart in the patient: crops saved with the "
                        "affine of the CT they were cut from? Cut them again with an affine "
                        "moved to their first voxel.",
                        b.case_id,
                        two.level,
                        b.split,
                    )
                    break


def _splits(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Splits without cases or fractures, levels without a fracture in the test split."""
    undecided = [case for case in cases if not case.split]
    if undecided:
        yield Finding(
            *("note", "split"),
            f"{len(undecided)} of {quantity(len(cases), 'case')} without a split: "
            f"{_some(undecided)}.",
        )
    known = any(case.lesions is not None for case in cases)
    if not known:
        yield Finding(
            *("warning", "no_reference"),
            "no case has a fracture mask: there is nothing to learn from. Name the masks in the "
            "column 'fractures'.",
        )
        return
    for split in SPLITS:
        inside = [case for case in cases if case.split == split]
        if not inside:
            if len(undecided) < len(cases):
                yield Finding("warning", "split", f"no case is in {split}.", split=split)
            continue
        if not prevalence(inside).by_mask:
            masks = sum(case.lesions is not None for case in inside)
            yield Finding(
                *("error" if split == "train" else "warning", "no_fracture"),
                f"no fractured vertebra ({masks} of {len(inside)} cases have a fracture mask): "
                f"nothing can be {'learnt' if split == 'train' else 'measured'} there. Name the "
                "masks, or divide the patients anew.",
                split=split,
            )
            continue
        if split == "test":
            lacking = [
                f"{level} (of {prevalence(inside, level).vertebrae})"
                for level in LEVELS
                if prevalence(cases, level).vertebrae and not prevalence(inside, level).by_mask
            ]
            if lacking:
                yield Finding(
                    *("warning", "level_without_fracture"),
                    f"no fracture in the test split at {quantity(len(lacking), 'level')}: "
                    f"{', '.join(lacking)} vertebrae. Nothing is measured there: divide the "
                    "patients by level and fracture, or use folds.",
                    split=split,
                )


def _attribution(cases: Sequence[CaseFacts]) -> Iterator[Finding]:
    """By how much attribution by the box would raise the prevalence."""
    masked = [case for case in cases if case.scheme != "boxes"]
    counts = prevalence(masked)
    if counts.by_box != counts.by_mask:
        yield Finding(
            *("note", "attribution"),
            f"{counts.by_mask} of {counts.vertebrae} vertebrae "
            f"({counts.by_mask / counts.vertebrae:.0%}) are fractured by the vertebra mask; "
            f"{counts.by_box} ({counts.by_box / counts.vertebrae:.0%}) would be if every fracture "
            "in the box of a vertebra counted. Only the first number is used.",
        )


def _windows(
    cases: Sequence[CaseFacts], plane_axes: Sequence[int], reach_mm: float
) -> Iterator[Finding]:
    """Windows that reach too little, or not to the next slice of the CT."""
    if reach_mm < _LEAST_REACH_MM:
        yield Finding(
            *("warning", "window_reach"),
            f"a window sees ±{reach_mm:g} mm, within which slices look nearly alike. Raise "
            "config.windows.stride_mm (or length).",
        )
    thick = [
        case
        for case in cases
        if case.voxel_spacing and max(case.voxel_spacing[axis] for axis in plane_axes) > reach_mm
    ]
    if thick and reach_mm:
        yield Finding(
            *("warning", "thick_slices"),
            f"in {len(thick)} of {len(cases)} cases ({_some(thick)}) the CT's own slices are "
            f"farther apart than the ±{reach_mm:g} mm of a window: its slices are interpolated "
            "from the same two or three. Raise config.windows.stride_mm, or choose another plane.",
        )


def _some(cases: Sequence[CaseFacts]) -> str:
    names = ", ".join(case.case_id for case in cases[:6])
    return names + (" …" if len(cases) > 6 else "")
