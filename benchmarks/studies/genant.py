"""The grades that heights in a label map suggest, beside known ones: published, and of phantoms.

    python -m benchmarks.studies.genant [--graded-masks DIR ...] [--phantoms COUNT] [--json FILE]

A folder of graded masks holds tables of grades (CSV, see `vfseg.data.grades`) and, for each subject
in them, one label map SUBJECT*vert*.nii.gz. Of phantoms the heights before any fracture and the
losses are known; they are drawn with fixed seeds, two fractures in five levels.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vfseg.data.anatomy import read_vertebrae
from vfseg.data.grades import graded_subjects, read_grades
from vfseg.data.schemes import LEVELS
from vfseg.data.volume import Volume, read_labels
from vfseg.errors import UserError
from vfseg.evaluation.genant import HeightLoss, height_losses
from vfseg.evaluation.heights import SITE_DEPTHS, SITES, MeasuredBody, measure_bodies
from vfseg.synthesis.phantom import (
    DrawnVertebra,
    FractureSpec,
    PhantomCase,
    PhantomSettings,
    make_case,
)
from vfseg.synthesis.phantom.fractures import KINDS

LEVELS_PER_CASE = 5
SPACINGS = (1.0, (2.0, 0.8, 0.8), 1.25, (0.8, 0.8, 3.0))
"""Of the phantoms, in turn, mm along d, h, w: isotropic, axial and sagittal stacks."""


class Graded(NamedTuple):
    """One vertebra with a known grade, and what its heights suggest.

    Attributes:
        case: its subject or phantom.
        known: its grade, 0 to 3.
        heights: in mm at `SITES`.
        loss: of height, with the grade that it suggests.
    """

    case: str
    known: int
    heights: np.ndarray
    loss: HeightLoss


def of_folder(folder: Path) -> list[Graded]:
    """Vertebrae of a folder of label maps whose grades are published.

    Raises:
        UserError: no table of grades, or not one label map for a subject in it.
    """
    tables = [path for path in sorted(folder.glob("*.csv")) if graded_subjects(path)]
    if not tables:
        raise UserError(f"{folder}: no table of grades. Give a folder with genant_grades.csv.")
    graded = []
    for table in tables:
        for subject in graded_subjects(table) or ():
            files = sorted(folder.glob(f"{subject}*vert*.nii.gz"))
            if len(files) != 1:
                raise UserError(
                    f"{folder}: {len(files)} label maps {subject}*vert*.nii.gz, expected one. Name "
                    f"it after its subject in the table {table.name}."
                )
            known = read_grades(table, subject)
            measured = measure(read_labels(files[0]), str(files[0]))
            graded += [
                Graded(subject, known[body.level], body.heights, loss)
                for body, loss in measured
                if body.level in known
            ]
    return graded


def measure(labels: Volume, source: str) -> list[tuple[MeasuredBody, HeightLoss]]:
    """Measured bodies of a label map and their losses of height."""
    bodies = measure_bodies(labels, read_vertebrae(labels, None, source).vertebrae)
    losses = height_losses(bodies)
    return [(body, losses[body.level]) for body in bodies if isinstance(body, MeasuredBody)]


def phantom(number: int) -> PhantomCase:
    """A phantom of five levels, two of them fractured, losses from 5 to 48 %."""
    rng = np.random.default_rng(number)
    first = int(rng.integers(0, len(LEVELS) - LEVELS_PER_CASE + 1))
    levels = LEVELS[first : first + LEVELS_PER_CASE]
    fractures = {
        levels[i]: FractureSpec(
            kind=KINDS[rng.integers(len(KINDS))],
            height_loss=float(rng.uniform(0.05, 0.48)),
            endplates="superior" if rng.random() < 0.7 else "both",
        )
        for i in rng.choice(LEVELS_PER_CASE, 2, replace=False)
    }
    settings = PhantomSettings(
        levels=(levels[0], levels[-1]),
        levels_per_case=(LEVELS_PER_CASE, LEVELS_PER_CASE),
        voxel_spacing=SPACINGS[number % len(SPACINGS)],
    )
    return make_case(number, settings, fractures)


def intact_heights(facts: DrawnVertebra) -> np.ndarray:
    """Heights in mm at `SITES` of a phantom's vertebra before any fracture, in the midline."""
    size = facts.size
    site = 1 - 2 * np.array(SITE_DEPTHS)  # from 1 (front wall) to -1
    return (
        size.height + size.tilt * size.depth * site - sum(size.concavity) * (1 - (site + 0.1) ** 2)
    )


def of_phantoms(count: int) -> tuple[list[Graded], dict[str, Any]]:
    """Vertebrae of phantoms, and the errors of their heights and losses."""
    graded, heights, losses = [], [], []
    for number in tqdm(range(count), "phantoms", unit="case", disable=None):
        case = phantom(number)
        facts = {f.level: f for f in case.facts}
        for body, loss in measure(case.vertebrae, f"phantom {number}"):
            if body.level not in facts:
                continue
            known = facts[body.level]
            intact = intact_heights(known)
            if known.spec is None:
                heights.append(body.heights - intact)
            else:
                losses.append(float((1 - body.heights / intact).max()) - known.spec.height_loss)
            grade = known.spec.grade if known.spec else 0
            graded.append(Graded(f"phantom {number}", grade, body.heights, loss))
    error = np.array(heights)
    return graded, {
        "intact_vertebrae": len(error),
        "height_error_mean_mm": dict(zip(SITES, error.mean(axis=0).tolist())),
        "height_error_absolute_mm": dict(zip(SITES, np.abs(error).mean(axis=0).tolist())),
        "height_error_largest_mm": dict(zip(SITES, np.abs(error).max(axis=0).tolist())),
        "fractured_vertebrae": len(losses),
        "loss_error_absolute": float(np.abs(losses).mean()),
        "loss_error_largest": float(np.abs(losses).max()),
    }


def agreement(graded: Sequence[Graded]) -> dict[str, Any]:
    """Confusion matrix (rows: known grade, columns: suggested), and counts taken from it."""
    matrix = np.zeros((4, 4), int)
    for vertebra in graded:
        matrix[vertebra.known, vertebra.loss.grade] += 1
    apart = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    low_high = [(v.loss.grade_interval, v.known) for v in graded]
    fractured, healthy = int(matrix[2:].sum()), int(matrix[0].sum())
    return {
        "vertebrae": len(graded),
        "confusion": matrix.tolist(),
        "exact": int(matrix[apart == 0].sum()),
        "within_one": int(matrix[apart <= 1].sum()),
        "in_interval": sum(low <= known <= high for (low, high), known in low_high),
        "known_2_or_3": fractured,
        "known_0": healthy,
        "found_as_1_or_more": int(matrix[2:, 1:].sum()),
        "found_as_2_or_more": int(matrix[2:, 2:].sum()),
        "healthy_as_0": int(matrix[0, 0]),
        "healthy_below_2": int(matrix[0, :2].sum()),
    }


def report(title: str, graded: Sequence[Graded], every: bool) -> str:
    """Agreement as text; a line for every vertebra, or only for those whose grades differ."""
    figures = agreement(graded)
    n, sick, well = figures["vertebrae"], figures["known_2_or_3"], figures["known_0"]
    lines = [f"\n{title}: {n} vertebrae", "case            level known got  loss a/m/p (95 %)"]
    for vertebra in graded:
        loss = vertebra.loss
        if not every and loss.grade == vertebra.known:
            continue
        low, high = loss.interval
        shares = " ".join(f"{100 * share:4.0f}" for share in loss.loss)
        lines.append(
            f"{vertebra.case:15} {loss.level:5} {vertebra.known:5} {loss.grade:3}  {shares} % "
            f"({100 * low:.0f} to {100 * high:.0f}) {loss.shape}"
        )
    lines += ["known \\ suggested   0   1   2   3"]
    for known, row in enumerate(figures["confusion"]):
        lines.append(f"{known:17}" + "".join(f"{count:4}" for count in row))
    lines.append(
        f"exact {figures['exact']}/{n}, within one {figures['within_one']}/{n}, known grade in the "
        f"95 % interval {figures['in_interval']}/{n}; 2 or 3 against 0:"
    )
    for least, found, left in (
        (2, "found_as_2_or_more", "healthy_below_2"),
        (1, "found_as_1_or_more", "healthy_as_0"),
    ):
        lines.append(
            f"  suggested {least} or more: sensitivity {figures[found]}/{sick}, specificity "
            f"{figures[left]}/{well}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the flags ask for and prints it; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--graded-masks", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--phantoms", type=int, default=8, metavar="COUNT", help="default 8")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    flags = parser.parse_args(argv)
    results: dict[str, Any] = {}
    if flags.graded_masks:
        graded = [vertebra for folder in flags.graded_masks for vertebra in of_folder(folder)]
        results["published"] = agreement(graded)
        print(report("published grades", graded, every=True))
    if flags.phantoms:
        graded, errors = of_phantoms(flags.phantoms)
        results["phantoms"] = agreement(graded) | errors
        print(report("phantoms (synthetic)", graded, every=False))
        print(json.dumps(errors, indent=1))
    if flags.json:
        flags.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"genant: {error}", file=sys.stderr)
        sys.exit(2)
