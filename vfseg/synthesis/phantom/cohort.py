"""A synthetic cohort on disk: NIfTI files and a manifest, as a user's data would arrive."""

import dataclasses
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vfseg.data.cases import write_manifest
from vfseg.data.outputs import FACTS
from vfseg.data.schemes import LEVELS
from vfseg.data.settings import SPLITS
from vfseg.data.volume import read_labels
from vfseg.errors import UserError
from vfseg.json_files import write_json
from vfseg.processes import cores
from vfseg.schemas import TEXT, read_checked
from vfseg.stopping import STOP
from vfseg.synthesis.case_files import FILES, case_in, is_written, write_case_files
from vfseg.synthesis.phantom.appearance import COMMON
from vfseg.synthesis.phantom.case import PhantomCase, make_case
from vfseg.synthesis.settings import PhantomSettings

_MANIFEST, _STATE = "manifest.csv", "cohort.json"


def case_seed(settings: PhantomSettings, split: str, number: int) -> np.random.SeedSequence:
    """Seed of a case: a branch per split, a twig per case, independent of all others."""
    return np.random.SeedSequence(settings.seed, spawn_key=(SPLITS.index(split), number))


def make_cohort(
    directory: str | os.PathLike,
    settings: PhantomSettings | None = None,
    progress: bool = True,
) -> Path:
    """Makes a cohort, or what is missing of it.

    Each case is a folder with the CT, the vertebra label map (VerSe ids), the fracture mask
    (instances), the Genant grades and, written last, `facts.json` with what was drawn. Cases that
    were made with the same settings are kept, also where their number has changed; any other change
    makes all of them again. A case of which a file is damaged or gone is made again.

    Args:
        directory: where; made if it does not exist.
        settings: what the cohort holds.
        progress: show a bar (only on a terminal).

    Returns:
        Path of the manifest.

    Raises:
        UserError: the folder cannot be written, or holds a manifest that is not of a synthetic
            cohort.
    """
    directory = Path(directory)
    settings = settings or PhantomSettings()
    names = [
        (split, number, f"{split}_{number:03d}")
        for split in SPLITS
        for number in range(getattr(settings, split))
    ]
    _claim(directory, settings)
    missing = [name for name in names if not is_written(directory / "cases" / name[2])]
    bar = tqdm(
        total=len(missing), desc="synthetic cases", unit="case", disable=None if progress else True
    )
    # NumPy and zlib let go of the interpreter's lock in their loops, so threads are enough.
    with bar, ThreadPoolExecutor(min(4, cores())) as pool:
        jobs = [
            pool.submit(_write_case, directory / "cases" / name, settings, split, number)
            for split, number, name in missing
        ]
        try:
            for job in as_completed(jobs):
                job.result()
                bar.update()
                if STOP.asked:
                    break
        finally:
            pool.shutdown(cancel_futures=True)
    made = len(names) - sum(job.cancelled() for job in jobs)
    if made < len(names):
        STOP.after_case(
            f"{directory}: {made} of {len(names)} phantoms are made and kept; the same command "
            "makes the others."
        )
    manifest = directory / _MANIFEST
    write_manifest(
        manifest,
        [
            case_in(directory / "cases" / name, patient_id=name, split=split)
            for split, _, name in names
        ],
    )
    return manifest


def cohort_hash(directory: str | os.PathLike) -> str:
    """SHA-256 over the label maps and fracture masks of a cohort in the order of their names.

    As long as the hash is the same, a benchmark cohort is.
    """
    digest = hashlib.sha256()
    for folder in sorted((Path(directory) / "cases").iterdir()):
        digest.update(folder.name.encode())
        for column in ("vertebrae", "fractures"):
            volume = read_labels(folder / FILES[column])
            digest.update(repr(volume.shape).encode())
            digest.update(np.ascontiguousarray(volume.array).tobytes())
    return digest.hexdigest()


def _claim(directory: Path, settings: PhantomSettings) -> None:
    """Claims a folder for these settings: cases of other settings count as missing from now on."""
    state = directory / _STATE
    expected = {"settings": dataclasses.asdict(settings), "fingerprint": settings.fingerprint()}
    try:
        found = read_checked(state, {"fingerprint": TEXT})
    except UserError:
        found = None
    if found is None and (directory / _MANIFEST).exists():
        raise UserError(
            f"{directory / _MANIFEST} is not of a synthetic cohort (no {_STATE} beside it) and "
            "would be overwritten. Choose an empty folder for the phantoms."
        )
    if (found or {}).get("fingerprint") != expected["fingerprint"]:
        for facts in (directory / "cases").glob(f"*/{FACTS}"):
            facts.unlink()
    write_json(state, expected)


def _write_case(folder: Path, settings: PhantomSettings, split: str, number: int) -> None:
    case = make_case(case_seed(settings, split, number), settings)
    grades = {
        fact.level: fact.spec.grade if fact.spec else 0
        for fact in case.facts
        if fact.level in LEVELS  # T13 and L6 are not graded
    }
    write_case_files(
        folder, case.ct, case.vertebrae.array, case.fractures.array, grades, facts_of(case)
    )


def facts_of(case: PhantomCase) -> dict[str, Any]:
    """What was drawn, for tables by type and grade; training never reads it."""
    patient = dataclasses.asdict(case.patient)
    if case.patient.look == COMMON:
        del patient["look"]
    return {
        "patient": patient,
        "voxel_spacing": case.scanner.voxel_spacing.tolist(),
        "orientation": case.scanner.orientation,
        "noise_sd": case.scanner.noise_sd,
        "hardware": case.hardware,
        "vertebrae": list(_vertebra_facts(case)),
    }


def _vertebra_facts(case: PhantomCase) -> Iterator[dict[str, Any]]:
    for fact in case.facts:
        yield {
            "level": fact.level,
            "label": fact.label,
            "fracture": dataclasses.asdict(fact.spec) | {"grade": fact.spec.grade}
            if fact.spec
            else None,
            "instances": list(fact.instances),
            "lookalikes": list(fact.lookalikes),
            "trabecular": round(float(fact.trabecular), 1),
        }
