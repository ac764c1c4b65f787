"""Which patients train, validate and test: drawn once, written to disk, and kept.

A patient is never divided, however its name is spelled. Levels, and the fractured among them, are
spread over the splits in proportion, because a test split without a fracture at some level says
nothing about that level.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vfseg.crops.settings import SplitSettings
from vfseg.crops.split_sizes import named_splits, outline
from vfseg.crops.store import CaseRecord
from vfseg.crops.stratify import stratify, whole_shares
from vfseg.data.cases import Case
from vfseg.data.schemes import LEVELS
from vfseg.data.settings import SPLITS
from vfseg.errors import UserError, quantity
from vfseg.files import read_table, write_table

_COLUMNS = ("case_id", "patient_id", "split", "fold")
_ANEW = (
    "or delete the file and everything trained with it in this workdir, so that the splits are "
    "drawn anew; or choose another --workdir"
)


@dataclasses.dataclass(frozen=True)
class Splits:
    """Who is where.

    Attributes:
        split_of: case id -> train, validation or test, the chosen fold taken into account.
        fold_of: case id -> fold, of the cases that have one.
        notes: what a reader of the results must know.
    """

    split_of: Mapping[str, str]
    fold_of: Mapping[str, int]
    notes: tuple[str, ...]

    def select(self, records: Sequence[CaseRecord], split: str) -> tuple[CaseRecord, ...]:
        """The records of one split."""
        return tuple(r for r in records if self.split_of[r.case_id] == split)


@dataclasses.dataclass(frozen=True)
class _Row:
    """A line of the file: one case; `fold` is None where it has none."""

    case_id: str
    patient_id: str
    split: str
    fold: int | None = None


def assign_splits(
    cases: Sequence[Case],
    records: Sequence[CaseRecord],
    settings: SplitSettings,
    path: Path,
    *,
    seed: int,
) -> Splits:
    """Reads the splits from `path`, or draws them and writes them there.

    A split that the manifest names for some patients is complete, except train, which takes what is
    left; a case without a split follows its patient, in any spelling (see `person`). The draw
    depends on the seed and the set of cases alone, so the folds of a cross-validation, each in a
    workdir of its own, agree.

    Args:
        cases: of the manifest, usable or not.
        records: of the usable ones; levels and fractures are taken from them.
        settings: fractions, folds.
        path: `splits.csv` of the workdir.
        seed: of the drawing.

    Raises:
        UserError: too few patients; a patient in two splits; the file is
            damaged, or does not fit the cases, their patients, the manifest or the number of folds.
    """
    named = named_splits(cases)
    if path.exists():
        rows = _read(path)
        _check_against(path, rows, cases, records, named, settings)
    else:
        rows = _draw(records, named, settings, seed)
        _write(path, rows)
    split_of = {row.case_id: row.split for row in rows}
    fold_of = {row.case_id: row.fold for row in rows if row.fold is not None}
    if settings.folds:
        split_of |= {c: "validation" for c, fold in fold_of.items() if fold == settings.fold}
    splits = Splits(split_of, fold_of, ())
    return dataclasses.replace(splits, notes=_notes(splits, records))


def _draw(
    records: Sequence[CaseRecord], named: Mapping[str, str], settings: SplitSettings, seed: int
) -> list[_Row]:
    """Splits, then folds among the patients of train."""
    rng = np.random.default_rng([seed, 0x5911])
    known = outline((record.patient_id for record in records), named, settings)
    patients = list(known.fixed)
    traits = _traits(records, known.one_name, patients)
    fixed = np.array([SPLITS.index(split) if split else -1 for split in known.fixed.values()])
    if (fixed < 0).any():
        fixed = stratify(traits, np.array(known.sizes), fixed, rng)
    fold_of: dict[str, int] = {}
    if settings.folds:
        members = np.flatnonzero(fixed == 0)
        sizes = whole_shares(len(members), settings.folds)
        folds = stratify(traits[members], sizes, np.full(len(members), -1), rng)
        fold_of = {patients[member]: int(fold) for member, fold in zip(members, folds)}
    split_of = {patient: SPLITS[split] for patient, split in zip(patients, fixed)}
    rows = []
    for record in records:
        patient = known.one_name[record.patient_id]
        rows.append(
            _Row(record.case_id, record.patient_id, split_of[patient], fold_of.get(patient))
        )
    return rows


def _traits(
    records: Sequence[CaseRecord], one_name: Mapping[str, str], patients: Sequence[str]
) -> np.ndarray:
    """Counts to spread evenly: `[patients, 2 * levels]`, fractured crops, then all crops."""
    row = {patient: i for i, patient in enumerate(patients)}
    traits = np.zeros((len(patients), 2, len(LEVELS)), np.int64)
    for record in records:
        for crop in record.crops:
            level = LEVELS.index(crop.level)
            traits[row[one_name[record.patient_id]], 0, level] += crop.fracture_voxels > 0
            traits[row[one_name[record.patient_id]], 1, level] += 1
    return traits.reshape(len(patients), -1)


def _notes(splits: Splits, records: Sequence[CaseRecord]) -> tuple[str, ...]:
    """A warning for the levels without a fracture in the test split."""
    everywhere: collections.Counter[str] = collections.Counter()
    tested: collections.Counter[str] = collections.Counter()
    for record in records:
        for crop in record.crops:
            everywhere[crop.level] += crop.fracture_voxels > 0
            if splits.split_of[record.case_id] == "test":
                tested[crop.level] += crop.fracture_voxels > 0
    bare = [level for level in LEVELS if level in everywhere and not tested[level]]
    if not bare:
        return ()
    found = ", ".join(f"{level} ({everywhere[level]} in all splits)" for level in bare)
    return (
        f"no fracture in the test split at {found}: the results say nothing about these levels",
    )


def _write(path: Path, rows: Sequence[_Row]) -> None:
    write_table(path, [dataclasses.asdict(row) for row in rows], _COLUMNS)  # None: an empty cell


def _read(path: Path) -> list[_Row]:
    try:
        columns, lines = read_table(path)
    except UserError as error:
        raise UserError(f"{error} Mend it, {_ANEW}.") from error
    missing = set(_COLUMNS) - set(columns)
    if missing:
        raise UserError(f"{path}: no column {', '.join(sorted(missing))}. Mend it, {_ANEW}.")
    rows: list[_Row] = []
    place_of: dict[str, _Row] = {}
    seen: set[str] = set()
    for line, cells, _ in lines:
        case_id, fold = cells["case_id"], cells["fold"]
        where = f"{path}: line {line}"
        if cells["split"] not in SPLITS:
            raise UserError(f"{where}: split {cells['split']!r}, expected {', '.join(SPLITS)}.")
        if fold and not (fold.isdecimal() and cells["split"] == "train"):
            raise UserError(f"{where}: fold {fold!r}, expected a number, and only in train.")
        if case_id in seen:
            raise UserError(f"{where}: case {case_id!r} is there twice. Keep one line.")
        seen.add(case_id)
        row = _Row(case_id, cells["patient_id"], cells["split"], int(fold) if fold else None)
        first = place_of.setdefault(row.patient_id, row)
        if (first.split, first.fold) != (row.split, row.fold):
            raise UserError(
                f"{where}: patient {row.patient_id!r} is in two splits or folds (cases "
                f"{first.case_id!r} and {case_id!r}). Put all cases of a patient in one."
            )
        rows.append(row)
    return rows


def _check_against(
    path: Path,
    rows: Sequence[_Row],
    cases: Sequence[Case],
    records: Sequence[CaseRecord],
    named: Mapping[str, str],
    settings: SplitSettings,
) -> None:
    """Checks that the file fits the data set and the settings of this run."""
    by_id = {row.case_id: row for row in rows}
    new = [record.case_id for record in records if record.case_id not in by_id]
    gone = sorted(by_id.keys() - {case.case_id for case in cases})
    if new or gone:
        found = [
            f"{what} {', '.join(ids)}" for what, ids in (("new:", new), ("gone:", gone)) if ids
        ]
        raise UserError(
            f"{path}: the data set has changed since the splits were drawn ({'; '.join(found)}). "
            "Bring the manifest back to what it was; or add a line for each new case and take out "
            f"those of the cases that are gone; {_ANEW}."
        )
    for case in cases:
        row = by_id.get(case.case_id)
        if row is None:
            continue
        if row.patient_id != case.patient_id:
            raise UserError(
                f"{path}: case {case.case_id!r} belongs to patient {row.patient_id!r}, in the "
                f"manifest to {case.patient_id!r}. Make them agree, {_ANEW}."
            )
        split = named.get(case.patient_id, row.split)
        if row.split != split:
            raise UserError(
                f"{path}: case {case.case_id!r} is in {row.split!r}, but the manifest puts its "
                f"patient in {split!r}. Make them agree, {_ANEW}."
            )
    if settings.folds:
        folds = {row.fold for row in rows if row.split == "train"}
        if folds != set(range(settings.folds)):
            held = "cases of train without a fold"
            if None not in folds:
                held = quantity(len(folds), "fold")
            raise UserError(
                f"{path}: holds {held}, but config.split.folds={settings.folds}. Set the key back, "
                f"{_ANEW}."
            )
