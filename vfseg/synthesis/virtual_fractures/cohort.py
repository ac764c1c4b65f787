"""Training data with truth from healthy labelled CT: variants of each with drawn fractures."""

import dataclasses
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from tqdm import tqdm

from vfseg.data.anatomy import LabelReading, read_vertebrae
from vfseg.data.cases import Case
from vfseg.data.fingerprint import case_fingerprint
from vfseg.data.geometry import check_same_geometry
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.schemes import LEVELS
from vfseg.data.vertebra_labels import read_vertebra_labels
from vfseg.data.volume import read_labels
from vfseg.errors import UserError
from vfseg.stopping import STOP
from vfseg.synthesis.case_files import case_in, is_made_of, write_case_files
from vfseg.synthesis.phantom.fractures import draw_spec
from vfseg.synthesis.settings import VirtualFractureSettings
from vfseg.synthesis.variants import Words, make_variants, variant_seed
from vfseg.synthesis.virtual_fractures.fracture import FractureFacts, fracture_vertebra
from vfseg.synthesis.virtual_fractures.lookalikes import NAMES, LookAlikeFacts, add_lookalike
from vfseg.synthesis.virtual_fractures.site import LabelledCT, breakable_levels

# Raise it when the same settings begin to give other voxels or grades, so that old variants are
# made again.
VERSION = 3


def make_virtual_cohort(
    cases: Sequence[Case],
    directory: str | os.PathLike,
    settings: VirtualFractureSettings,
    progress: bool = True,
) -> Path:
    """Makes the variants of all cases, or what is missing of them, and their manifest.

    In each variant whole vertebrae with a labelled neighbour above are broken, drawn by level;
    those that the case's own fracture mask marks are left alone, and their instances are kept. Ids
    and scheme of the label map stay, organs included.

    A variant that was made of the same files with the same settings is kept. A case that cannot be
    used is named in the log and left out. The seed of a variant depends on `settings.seed`, its
    case and its number alone, whatever other cases there are.

    Args:
        cases: healthy, labelled.
        directory: where; `manifest.csv` and `cases/CASE_NUMBER/`.
        settings: what is made of each case.
        progress: show a bar (only on a terminal).

    Returns:
        Path of the manifest; all variants of a case share its `patient_id`, so that a split by
        patient keeps them together.

    Raises:
        UserError: no case can be used; the folder cannot be written.
    """
    directory = Path(directory)
    makers = {
        case.case_id: partial(_variants, case, directory / "cases", settings) for case in cases
    }
    words = Words("virtual fractures", "no case can be given virtual fractures:")
    return make_variants(directory, makers, settings.variants, words, progress=progress)


@dataclass(frozen=True, eq=False)
class _Source:
    case: Case
    scan: LabelledCT
    reading: LabelReading

    @classmethod
    def read(cls, case: Case, settings: VirtualFractureSettings) -> "_Source":
        if case.vertebrae is None:
            raise UserError(
                f"{case.case_id}: no vertebra label map, which virtual fractures need. Name one "
                "in the column 'vertebrae' of the manifest."
            )
        ct, labels = read_hounsfield(case.ct), read_vertebra_labels(case.vertebrae)
        check_same_geometry(ct.geometry, labels.geometry, str(case.ct), str(case.vertebrae))
        fractures = None
        if case.fractures is not None:
            fractures = read_labels(case.fractures)
            check_same_geometry(ct.geometry, fractures.geometry, str(case.ct), str(case.fractures))
        reading = read_vertebrae(labels, settings.vertebra_scheme or None, str(case.vertebrae))
        return cls(case, LabelledCT(ct, reading.labels, fractures), reading)

    def healthy(self) -> list[str]:
        """Levels that may be changed: whole, unmarked, with a labelled neighbour above."""
        levels = list(breakable_levels(self.reading))
        labels, fractures = self.scan.labels, self.scan.fractures
        if fractures is not None:
            marked = set(np.unique(labels.array[fractures.array > 0]).tolist())
            known = {v.level: v.label for v in self.reading.vertebrae}
            levels = [level for level in levels if known[level] not in marked]
        return levels

    def choose(self, rng: np.random.Generator, settings: VirtualFractureSettings) -> list[str]:
        """Levels to break, caudal to cranial."""
        levels = self.healthy()
        if not levels:
            raise UserError(
                f"{self.case.case_id}: no vertebra of T4 to L5 is whole, healthy and has a "
                "labelled neighbour above. Leave this case out."
            )
        order = rng.permutation(len(levels))
        ranks = rng.random(len(levels)) / np.array([max(settings.rate(v), 1e-9) for v in levels])
        chosen = {level for level, rank in zip(levels, ranks) if rank < 1}
        # Where too few fell, those that came nearest.
        for index in sorted(order, key=lambda i: ranks[i])[: settings.fewest]:
            chosen.add(levels[index])
        return sorted(chosen, key=LEVELS.index, reverse=True)


def _variants(case: Case, folder: Path, settings: VirtualFractureSettings, bar: tqdm) -> list[Case]:
    shaping = {**dataclasses.asdict(settings), "variants": None, "version": VERSION}
    fingerprint = case_fingerprint(case, shaping)
    source: _Source | None = None
    made = []
    for number in range(settings.variants):
        target = folder / f"{case.case_id}_{number:03d}"
        if is_made_of(target, fingerprint):
            made.append(case_in(target, case.patient_id, case.split))
        else:
            STOP.after_case(f"{folder}: what is made is kept; the same command makes the others.")
            source = source or _Source.read(case, settings)
            seed = variant_seed(settings.seed, case.case_id, number)
            made.append(_write_variant(source, target, settings, seed, fingerprint))
        bar.update()
    return made


def _write_variant(
    source: _Source,
    folder: Path,
    settings: VirtualFractureSettings,
    seed: np.random.SeedSequence,
    fingerprint: str,
) -> Case:
    plan, *seeds = seed.spawn(1 + len(LEVELS))
    rng = np.random.default_rng(plan)
    scan = source.scan
    facts: list[FractureFacts] = []
    broken = source.choose(rng, settings)
    for level in broken:
        spec = draw_spec(rng, 0.0)
        try:
            scan, done = fracture_vertebra(
                scan, level, spec, seeds[LEVELS.index(level)], reading=source.reading
            )
        except UserError as error:
            logging.warning("%s: %s left whole: %s", source.case.case_id, level, error)
            continue
        facts.append(done)
    if not facts and settings.fewest:
        raise UserError(f"{source.case.case_id}: none of its vertebrae could be broken.")
    masks = np.zeros(scan.ct.shape, np.uint8) if scan.fractures is None else scan.fractures.array
    scan, lookalikes = _with_lookalikes(source, scan, set(broken), settings, seed.spawn(1)[0])
    drawn = {fact.level: fact.grade for fact in facts}
    drawn |= {fact.level: fact.grade for fact in lookalikes}
    grades = {v.level: drawn.get(v.level, 0) for v in source.reading.vertebrae}
    described = {
        "fingerprint": fingerprint,
        "source": source.case.case_id,
        "scheme": source.reading.scheme,
        "fractures": [_described(fact) for fact in reversed(facts)],
        "lookalikes": [dataclasses.asdict(fact) for fact in lookalikes],
    }
    write_case_files(folder, scan.ct, scan.labels.array, masks, grades, described)
    return case_in(folder, source.case.patient_id, source.case.split)


def _with_lookalikes(
    source: _Source,
    scan: LabelledCT,
    broken: Collection[str],
    settings: VirtualFractureSettings,
    seed: np.random.SeedSequence,
) -> tuple[LabelledCT, list[LookAlikeFacts]]:
    """Gives a share of the vertebrae that were not broken a look-alike each."""
    facts: list[LookAlikeFacts] = []
    for level, branch in zip(LEVELS, seed.spawn(len(LEVELS))):
        plan, shape = branch.spawn(2)
        rng = np.random.default_rng(plan)
        chance, name = rng.random(), str(rng.choice(NAMES))
        if chance >= settings.hard_negatives or level in broken or level not in source.healthy():
            continue
        try:
            scan, done = add_lookalike(scan, level, name, shape, source.reading)
        except UserError as error:
            logging.warning("%s: %s without %s: %s", source.case.case_id, level, name, error)
            continue
        facts.append(done)
    return scan, facts


def _described(fact: FractureFacts) -> dict[str, Any]:
    return dataclasses.asdict(fact) | {"grade": fact.grade, "height_loss": fact.height_loss}
