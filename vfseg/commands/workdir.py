"""A run: its config, its folders, and what it is made from, each found out once."""

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from absl import logging

from vfseg import processes
from vfseg.commands.memory import (
    check_config_of,
    claim_data,
    give_data_back,
    is_shared,
    refuse_workdir,
)
from vfseg.config.config import Config
from vfseg.crops.prepare import prepare_cases
from vfseg.crops.splits import assign_splits
from vfseg.crops.store import CaseRecord
from vfseg.data.cases import Case
from vfseg.data.discovery import find_cases, is_left_out
from vfseg.data.patients import person
from vfseg.data.settings import SPLITS
from vfseg.errors import UserError
from vfseg.files import sweep
from vfseg.locks import kept_for_run, locked
from vfseg.synthesis.painted import (
    LabelMap,
    find_label_maps,
    make_painted_cohort,
    map_of,
)
from vfseg.synthesis.phantom import make_cohort
from vfseg.synthesis.virtual_fractures import make_virtual_cohort

_COHORT, _VIRTUAL, _PAINTED = "cohort", "virtual_cohort", "painted_cohort"
_RESULTS = ("evaluation", "predictions", "report", "audit", "healthy", "model")
"""Folders of a workdir that are written to, beside those of the data; checkpoints have a care of
their own."""


@contextlib.contextmanager
def alone_in(folder: Path, *within: str) -> Iterator[None]:
    """Keeps a folder for this run (see `kept_for_run`), and sweeps away what killed ones left.

    Of several processes the first keeps it for all: none goes on before it has the folder, nor does
    it give the folder back before all are done.

    Args:
        folder: made if it is missing.
        within: folders in it that are swept at every depth.

    Raises:
        UserError: another run works there.
    """
    with contextlib.ExitStack() as kept:
        if processes.is_first():
            kept.enter_context(kept_for_run(folder))
            sweep(folder, *within)
        processes.wait()
        yield
        processes.wait()


class Cases(NamedTuple):
    """The cases of a run.

    Attributes:
        cases: of the manifest, virtual fractures of them, painted ones, phantoms: as the config
            asks.
        notes: what was assumed or left out.
    """

    cases: tuple[Case, ...]
    notes: tuple[str, ...]


class Prepared(NamedTuple):
    """Outcome of the preparation.

    Attributes:
        cases: usable or not.
        records: of the usable cases, by split.
        left_out: cases that are not usable, and why.
    """

    cases: tuple[Case, ...]
    records: dict[str, tuple[CaseRecord, ...]]
    left_out: tuple[str, ...]


class Run:
    """One run of a config in a workdir.

    Attributes:
        config: the resolved one.
        workdir: checkpoints, splits and results.
        data: cohorts and store; the workdir, or a folder that several runs share.
        follow_links: whether links of a manifest may lead out of its folder.
        split_of: patient -> split, in place of what a manifest says of these patients.
    """

    def __init__(
        self,
        config: Config,
        workdir: Path,
        data: Path | None = None,
        *,
        follow_links: bool = False,
        split_of: Mapping[str, str] = MappingProxyType({}),
    ):
        """Reads and writes nothing yet. Arguments as the attributes; no `data` is the workdir."""
        self.config, self.workdir, self.data = config, workdir, data or workdir
        if self.data.resolve() == workdir.resolve():
            self.data = workdir
        self.follow_links, self.split_of = follow_links, split_of

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps the workdir for this run, and sweeps it; see `alone_in`."""
        with alone_in(self.workdir, *_RESULTS):
            yield

    @property
    def store(self) -> Path:
        """Folder of the prepared crops."""
        return self.data / "store"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.workdir / "checkpoints"

    @functools.cached_property
    def found(self) -> Cases:
        """The cases of the config; cohorts that it asks for are made if need be.

        Raises:
            UserError: whatever is wrong with manifest or cases.
        """
        if not self.workdir.resolve().is_relative_to(self.data.resolve()):  # as those of folds are
            refuse_workdir(self.data)
        with locked(self.data):
            cohorts = [self.data / name for name in (_COHORT, _VIRTUAL, _PAINTED)]
            for cohort in cohorts:
                sweep(cohort, "cases")
            shared = self.data != self.workdir or is_shared(self.data)
            is_first = shared and claim_data(self.config, self.data)
            try:
                return self._find(make=True)
            except UserError:
                if is_first and not any(cohort.exists() for cohort in cohorts):
                    give_data_back(self.data)
                raise

    def standing_cases(self) -> tuple[Case, ...]:
        """The cases as they stand: nothing is made, and no CT is read."""
        return self._find(make=False).cases

    @functools.cached_property
    def prepared(self) -> Prepared:
        """Cohorts, store and splits, brought up to date by the first process for all.

        Raises:
            UserError: whatever is wrong with config or cases; a process does not see the workdir.
        """
        prepared = processes.from_first(self._prepare, Prepared)
        if not self.store.is_dir():
            raise UserError(
                f"{self.data}: process {processes.index()} does not see what process 0 wrote "
                "there. Name a --workdir on a file system that all processes share."
            )
        return prepared

    def records(self, split: str) -> tuple[CaseRecord, ...]:
        """The usable cases of a split.

        Raises:
            UserError: there are none.
        """
        records = self.prepared.records[split]
        if not records:
            raise UserError(
                f"no usable case in the split {split!r}. Name some in the column 'split' of the "
                "manifest, or leave the column empty and set the fractions in config.split."
            )
        return records

    def data_hash(self, *splits: str) -> str:
        """Hash of the prepared cases of some splits: what a result was made from."""
        records = self.prepared.records
        cases = [(split, r.case_id, r.fingerprint) for split in splits for r in records[split]]
        return hashlib.sha256(json.dumps(sorted(cases)).encode()).hexdigest()

    def _prepare(self) -> Prepared:
        check_config_of(self.config, self.workdir)
        cases, notes = self.found
        for note in notes:
            logging.warning("%s", note)
        with locked(self.data):
            records, left_out = prepare_cases(cases, self.config.prepare, self.store)
        path = self.workdir / "splits.csv"
        splits = assign_splits(cases, records, self.config.split, path, seed=self.config.seed)
        for note in splits.notes:
            logging.warning("%s", note)
        reasons = tuple(f"{case.case_id}: {case.reason}" for case in left_out)
        return Prepared(
            cases,
            {split: splits.select(records, split) for split in SPLITS},
            (*(note for note in notes if is_left_out(note)), *reasons),
        )

    def _find(self, *, make: bool) -> Cases:
        config = self.config
        cases, notes = Cases((), ())
        if config.manifest:
            cases, notes = find_cases(Path(config.manifest), follow_links=self.follow_links)
        own = self._placed(cases)
        if config.manifest and config.virtual_fractures.variants:
            manifest = self.data / _VIRTUAL / "manifest.csv"
            if make:
                virtual = config.virtual_fractures
                manifest = make_virtual_cohort(cases, self.data / _VIRTUAL, virtual)
            cases, more = find_cases(manifest)
            notes += more
        cases = self._placed(cases)
        if config.painted.label_maps:
            manifest = self.data / _PAINTED / "manifest.csv"
            if make:
                manifest = make_painted_cohort(self.data / _PAINTED, config.painted)
            painted, more = find_cases(manifest)
            if config.manifest:
                folder = Path(config.painted.label_maps)
                maps = find_label_maps(folder) if make or folder.is_dir() else ()
                painted, kept_apart = beside(painted, own, maps)
                more += kept_apart
            cases, notes = (*cases, *painted), (*notes, *more)
        if config.add_phantoms or not (config.manifest or config.painted.label_maps):
            manifest = self.data / _COHORT / "manifest.csv"
            if make:
                manifest = make_cohort(self.data / _COHORT, config.phantom)
            phantoms, more = find_cases(manifest)
            if config.manifest:  # what is tested is the user's
                phantoms = tuple(case for case in phantoms if case.split != "test")
            both = {case.case_id for case in cases} & {case.case_id for case in phantoms}
            if both:
                raise UserError(
                    f"{config.manifest or config.painted.label_maps}: {', '.join(sorted(both))}: "
                    "names that phantoms have, too. Rename these cases, or set "
                    "config.add_phantoms=False."
                )
            cases, notes = (*cases, *phantoms), (*notes, *more)
        return Cases(cases, notes)

    def _placed(self, cases: Iterable[Case]) -> tuple[Case, ...]:
        """Cases in the splits that this run gives to their patients."""
        return tuple(replace(c, split=self.split_of.get(c.patient_id, c.split)) for c in cases)


def beside(
    painted: Iterable[Case], cases: Iterable[Case], maps: Iterable[LabelMap]
) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """Painted cases beside those of a manifest, and notes on those that are left out.

    They train: what is validated and tested is the user's. So none is kept of a patient of the
    manifest who does not train, or of whom that is still open; nor, whatever the patient is called
    there, of a label map that the manifest gives to such a case.

    Args:
        painted: the painted cases.
        cases: of the manifest.
        maps: the label maps from which the cases are painted.
    """
    held = [case for case in cases if case.split != "train"]
    patients = {person(case.patient_id): case for case in held}
    files = {case.vertebrae.resolve(): case for case in held if case.vertebrae}
    paths = {label_map.name: label_map.path.resolve() for label_map in maps}
    kept, notes = [], []
    for case in painted:
        patient = patients.get(person(case.patient_id))
        found = patient or files.get(paths.get(map_of(case), Path()))
        if found is None:
            kept.append(replace(case, split="train"))
            continue
        what = f"its patient {case.patient_id}" if patient else "its label map"
        where = f"in the split {found.split!r}" if found.split else "in a split that is still open"
        notes.append(
            f"{case.case_id}: left out, since the manifest has {what} {where}; painted cases train"
        )
    return tuple(kept), tuple(notes)
