"""CTs painted from label maps, on disk: variants of each map, and their manifest."""

import dataclasses
import os
from functools import partial
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from vfseg.data.cases import Case
from vfseg.data.vertebra_labels import read_vertebra_labels
from vfseg.stopping import STOP
from vfseg.synthesis.case_files import case_in, is_made_of, write_case_files
from vfseg.synthesis.painted.case import paint_case
from vfseg.synthesis.painted.label_maps import LabelMap, find_label_maps
from vfseg.synthesis.painted.source import Source, read_source
from vfseg.synthesis.phantom.cohort import facts_of
from vfseg.synthesis.settings import PaintedSettings
from vfseg.synthesis.variants import Words, make_variants, variant_seed

_PAINTED = "_painted_"  # between the name of a map and a number

# Raise it when the same settings begin to give other voxels, so that old cases are made again.
VERSION = 1


def make_painted_cohort(
    directory: str | os.PathLike, settings: PaintedSettings, progress: bool = True
) -> Path:
    """Paints the variants of all label maps, or what is missing of them, and their manifest.

    A case is as one of the phantom cohort, with VerSe ids. A case that was made of the same files
    with the same settings is kept. A map that cannot be used is named in the log and left out. The
    seed of a case depends on `settings.seed`, its map and its number alone.

    Args:
        directory: where; `manifest.csv` and `cases/MAP_painted_NUMBER/`.
        settings: the label maps, and what is made of each.
        progress: show a bar (only on a terminal).

    Returns:
        Path of the manifest; all variants of a map have its patient, so that a split by patient
        keeps them together. Splits are left open.

    Raises:
        UserError: there is no label map, or none can be used; the folder cannot be written.
    """
    directory = Path(directory)
    makers = {
        label_map.name: partial(_variants, label_map, directory / "cases", settings)
        for label_map in find_label_maps(settings.label_maps)
    }
    words = Words("painted cases", "no label map can be painted:")
    return make_variants(directory, makers, settings.variants, words, progress=progress)


def map_of(case: Case) -> str:
    """Name of the label map that a painted case was made from."""
    return case.case_id.rpartition(_PAINTED)[0]


def _variants(
    label_map: LabelMap, folder: Path, settings: PaintedSettings, bar: tqdm
) -> list[Case]:
    ignored = {"variants": None, "label_maps": None}
    shaping = dataclasses.asdict(settings) | ignored | {"version": VERSION}
    fingerprint = label_map.fingerprint(shaping)
    source: Source | None = None
    made = []
    for number in range(settings.variants):
        target = folder / f"{label_map.name}{_PAINTED}{number:03d}"
        if not is_made_of(target, fingerprint):
            STOP.after_case(f"{folder}: what is made is kept; the same command makes the others.")
            source = source or _read(label_map, settings)
            seed = variant_seed(settings.seed, label_map.name, number)
            _write(source, label_map, target, settings, (seed, fingerprint))
        made.append(case_in(target, label_map.patient_id, ""))
        bar.update()
    return made


def _read(label_map: LabelMap, settings: PaintedSettings) -> Source:
    source = read_source(
        read_vertebra_labels(label_map.path),
        settings.vertebra_scheme or None,
        label_map.grades,
        label_map.name,
    )
    for level, why in source.left_out.items():
        logging.warning(
            "painted cases: %s of %s is painted without label (%s)", level, label_map.name, why
        )
    return source


def _write(
    source: Source,
    label_map: LabelMap,
    folder: Path,
    settings: PaintedSettings,
    origin: tuple[np.random.SeedSequence, str],
) -> None:
    seed, fingerprint = origin
    case = paint_case(source, seed, settings)
    grades = {fact.level: fact.spec.grade if fact.spec else 0 for fact in case.facts}
    facts = {
        "fingerprint": fingerprint,
        "source": label_map.name,
        "left_out": dict(source.left_out),
        **facts_of(case),
    }
    write_case_files(folder, case.ct, case.vertebrae.array, case.fractures.array, grades, facts)
