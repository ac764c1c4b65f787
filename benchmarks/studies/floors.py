"""Floors of a synthetic cohort: what CT values alone, or a shifted truth, score on its test split.

    python -m benchmarks.studies.floors --config configs/benchmark_cohort.py [--workdir DIR]
                                        [--json FILE]

Makes the cohort if it is absent, in the folder where a run of the same config looks for it, and
compares its label maps and masks with the hash in the config file (MASKS_SHA256), if there is one.
The exit status is 1 if they differ: the figures are then not those of the committed cohort.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.configs import constant, read_config
from benchmarks.environment import environment
from vfseg.crops.prepare import place_crops
from vfseg.crops.settings import PrepareSettings
from vfseg.data.cases import Case
from vfseg.data.discovery import find_cases
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.spine import read_spine
from vfseg.data.volume import read_labels
from vfseg.errors import UserError
from vfseg.evaluation.floors import Floors, KnownVoxels, Likelihood, crop_region
from vfseg.synthesis.phantom import cohort_hash, make_cohort

FINE_MM = 1.0
"""Cases are grouped by the cube root of their voxel's volume: up to this, and above."""

BOUNDS = {"pr_auc_hu_threshold": 0.08, "pr_auc_vertebra_oracle": 0.17}
"""A cohort with higher floors is too easy to be worth training on."""


def measure(cases: Sequence[Case], settings: PrepareSettings) -> dict[str, Floors]:
    """Floors of the test cases, fitted on the train cases: of all, and by voxel spacing.

    Raises:
        UserError: a case without a fracture mask.
    """
    fitted = Likelihood()
    for case in tqdm([c for c in cases if c.split == "train"], "fit", unit="case", disable=None):
        fitted.add(_read(case, settings))
    fine, coarse = Floors(), Floors()
    for case in tqdm([c for c in cases if c.split == "test"], "score", unit="case", disable=None):
        voxels = _read(case, settings)
        group = fine if np.prod(voxels.ct.voxel_spacing) <= FINE_MM**3 else coarse
        group.add(voxels, fitted)
    return {
        "all": fine + coarse,
        f"to {FINE_MM:g} mm": fine,
        f"above {FINE_MM:g} mm": coarse,
    }


def _read(case: Case, settings: PrepareSettings) -> KnownVoxels:
    if case.fractures is None:
        raise UserError(f"{case.case_id}: no fracture mask, and floors need one.")
    ct = read_hounsfield(case.ct)
    spine = read_spine(case, ct.geometry, settings)
    crops = place_crops(spine.vertebrae, ct.geometry, settings)
    region = crop_region(crops, settings.crop_shape, ct.geometry, settings.voxel_spacing)
    assert spine.labels is not None  # a synthetic cohort has label maps
    return KnownVoxels(ct, spine.labels.array, read_labels(case.fractures).array, region)


def table(groups: dict[str, Floors]) -> str:
    """Figures as rows, groups that hold cases as columns."""
    shown = {f"{name} ({g.cases})": g.figures() for name, g in groups.items() if g.cases}
    lines = [f"{'floor (test cases)':26}" + "".join(f"{name:>18}" for name in shown)]
    for row in next(iter(shown.values())):
        values = (figures[row] for figures in shown.values())
        cells = "".join(f"{'-' if v is None else format(v, '.4f'):>18}" for v in values)
        bound = f"   at most {BOUNDS[row]:g}" if row in BOUNDS else ""
        lines.append(f"{row:26}{cells}{bound}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the cohort if need be and prints its floors; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", required=True, help="configs/NAME.py[:VARIANT]")
    parser.add_argument("--workdir", type=Path, help="default runs/NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    flags = parser.parse_args(argv)
    path, _, variant = flags.config.partition(":")
    config = read_config(path, variant)
    name = "-".join(part for part in (Path(path).stem, variant) if part)
    directory = (flags.workdir or Path("runs") / name) / "cohort"

    manifest = make_cohort(directory, config.phantom)
    cases, left_out = find_cases(manifest)
    for note in left_out:
        print(note)
    expected = None if variant else constant(path, "MASKS_SHA256")
    found = cohort_hash(directory)
    groups = measure(cases, config.prepare)
    where = environment()
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    print(f"masks {found}")
    if expected:
        same = found == expected
        print("the committed cohort" if same else f"NOT the committed cohort, which is {expected}")
    print(table(groups))
    if flags.json:
        figures = {key: group.figures() | {"cases": group.cases} for key, group in groups.items()}
        result = {"environment": where, "config": flags.config, "masks": found, "floors": figures}
        flags.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if expected and found != expected else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"floors: {error}", file=sys.stderr)
        sys.exit(2)
