"""How many patients train, validate and test: known before it is drawn who does."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from vfseg.crops.settings import SplitSettings
from vfseg.data.cases import Case
from vfseg.data.patients import by_person
from vfseg.data.settings import SPLITS
from vfseg.errors import UserError


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
