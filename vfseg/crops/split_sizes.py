"""How many patients train, validate and test: known before it is drawn who does."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated

from vfseg.data.cases import SPLITS, Case
from vfseg.data.patients import by_person
from vfseg.errors import UserError
from vfseg.settings import Rule, Settings, below, whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitSettings(Settings, section="split"):
    """How the patients that the manifest leaves open are divided.

    Attributes:
        validation: fraction of all patients, 0 to below 1; not used where there are folds.
        test: fraction of all patients, 0 to below 1.
        folds: 0 for a hold-out; k >= 2 divides all patients of train, also those that the manifest
            names so, into k folds of which one validates.
        fold: the one that validates, 0..k-1.
    """

    validation: Annotated[float, below(1, "a fraction")]
    test: Annotated[float, below(1, "a fraction")]
    folds: Annotated[int, Rule(lambda n: whole(0).holds(n) and n != 1, "0 (none), or 2 and more")]
    fold: Annotated[int, whole(0)]

    def unfit(self) -> Iterator[str]:
        """Someone is left to train on, and the fold that validates is one of them."""
        if self.validation + self.test >= 1:
            yield (
                f"config.split.validation={self.validation} and config.split.test={self.test} "
                "leave no patient to train on. Lower them."
            )
        if self.folds and self.fold >= self.folds:
            yield (
                f"config.split.fold={self.fold}: expected 0 to {self.folds - 1}, since "
                f"config.split.folds={self.folds}."
            )


def named_splits(cases: Sequence[Case]) -> dict[str, str]:
    """Patient -> the split that the manifest names.

    Raises:
        UserError: a patient in two splits.
    """
    named: dict[str, str] = {}
    for case in cases:
        if case.split and named.setdefault(case.patient_id, case.split) != case.split:
            raise UserError(
                f"the manifest puts patient {case.patient_id!r} in {named[case.patient_id]!r} and, "
                f"case {case.case_id!r}, in {case.split!r}: keep a patient in one split."
            )
    return named


@dataclasses.dataclass(frozen=True)
class Outline:
    """What is known of the splits before they are drawn.

    Attributes:
        one_name: patient -> the spelling that stands for all of its own.
        fixed: each of those, sorted -> its split, "" where it is drawn.
        sizes: of these patients in train, validation and test, once they are drawn.
        folds: that train is divided into; 0 for none.
    """

    one_name: Mapping[str, str]
    fixed: Mapping[str, str]
    sizes: tuple[int, int, int]
    folds: int

    @property
    def training_shares(self) -> dict[str, float]:
        """Patient -> 0..1, how likely it trains; with folds, in how many of them it does."""
        places, of_train = list(self.fixed.values()), 1 - 1 / self.folds if self.folds else 1.0
        share_of = {"train": of_train, "validation": 0.0, "test": 0.0}
        if "" in places:
            drawn = self.sizes[0] - places.count("train")
            share_of[""] = of_train * drawn / places.count("")
        return {patient: share_of[self.fixed[name]] for patient, name in self.one_name.items()}


def outline(patients: Iterable[str], named: Mapping[str, str], settings: SplitSettings) -> Outline:
    """Who has a split already, and how many patients each split will have.

    Args:
        patients: of the usable cases.
        named: see `named_splits`.
        settings: fractions, folds.

    Raises:
        UserError: too few patients for the fractions or the folds.
    """
    one_name = _one_name_each(patients, named)
    fixed = {name: named.get(name, "") for name in sorted(set(one_name.values()))}
    places = list(fixed.values())
    sizes = [places.count(split) for split in SPLITS]
    if "" in places:
        shares = (0.0, 0.0 if settings.folds else settings.validation, settings.test)
        for split in (1, 2):
            if not sizes[split] and shares[split]:
                sizes[split] = max(1, round(shares[split] * len(places)))
        sizes[0] = len(places) - sizes[1] - sizes[2]
        if sizes[0] < max(1, places.count("train")):
            raise UserError(
                f"{len(places)} patients are too few for config.split.validation="
                f"{settings.validation} and config.split.test={settings.test}. Add cases, lower "
                "the shares, or name the splits in the manifest."
            )
    if settings.folds > sizes[0]:
        raise UserError(
            f"config.split.folds={settings.folds}, but only {sizes[0]} patients are in train. Take "
            "fewer folds, or add cases."
        )
    return Outline(one_name, fixed, (sizes[0], sizes[1], sizes[2]), settings.folds)


def _one_name_each(patients: Iterable[str], named: Mapping[str, str]) -> dict[str, str]:
    """Patient -> the first of its spellings; where the manifest divides those, each stands alone.

    What the manifest says is done, also where two names look like one patient: that they are is
    only a guess, of which `find_cases` warns.
    """
    one_name = {}
    for names in by_person(sorted(set(patients))):
        # A spelling with a split of its own stands for those without one.
        names.sort(key=lambda name: name not in named)
        for name in names:
            agrees = named.get(name, named.get(names[0])) == named.get(names[0])
            one_name[name] = names[0] if agrees else name
    return one_name
