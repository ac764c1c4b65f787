"""How far scores and verdicts move when the same CT comes from another scanner.

    python -m benchmarks.studies.robustness CASE [CASE ...] [--model FOLDER] [--json FILE]

A case is a folder with `ct.nii.gz` and `vertebrae.nii.gz`, such as a virtual cohort holds, and
with `fractures.nii.gz` where its truth is known. Each is predicted as it is, then with slices of
0.7 to 5 mm, with a softer and a sharper kernel, moved by 100 HU, with more noise, turned by 10
degrees, and cut to three vertebrae. What is said of each vertebra is held against what is said of
the case as it is.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from benchmarks.environment import environment
from vfseg.config.model import open_model
from vfseg.config.shipped import SHIPPED
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.cases import Case
from vfseg.data.geometry import Geometry, geometry_from
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.resample import resampled_affine, sample_linear, sample_nearest
from vfseg.data.settings import SpineReading
from vfseg.data.vertebra_labels import read_vertebra_labels
from vfseg.data.volume import Volume, write_ct, write_labels
from vfseg.errors import UserError
from vfseg.evaluation.findings import list_findings
from vfseg.evaluation.sentences import answer_of
from vfseg.inference.case import predict_case
from vfseg.inference.model import Model

AIR = -1000


class Scan(NamedTuple):
    """A CT and its label map, canonical `d h w`, on one grid with an affine of those axes.

    The label scheme is that of the map as it was read first: a part of it might fit several.
    """

    ct: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    scheme: str

    @property
    def spacing(self) -> np.ndarray:
        """Of the voxels along d, h, w, mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


Change = Callable[[Scan], Scan]


def slices_of(thickness: float) -> Change:
    """Axial slices as thick as they are apart, mm."""

    def change(scan: Scan) -> Scan:
        step = np.array([thickness / scan.spacing[0], 1, 1])
        origin = np.array([(step[0] - 1) / 2, 0, 0])  # the first slice begins where the CT does
        shape = (max(int(len(scan.ct) / step[0]), 1), *scan.ct.shape[1:])
        ct = sample_linear(scan.ct, origin, step, shape, fill=AIR)
        labels = sample_nearest(scan.labels, origin, step, shape)
        return Scan(ct, labels, resampled_affine(scan.affine, origin, step), scan.scheme)

    return change


def kernel(strength: float, sigma_mm: float = 0.7) -> Change:
    """Takes away (-1) or doubles (1), within the slices, what a Gaussian kernel takes away."""

    def change(scan: Scan) -> Scan:
        ct = scan.ct.astype(np.float32)
        soft = ndimage.gaussian_filter(ct, [0.0, *(sigma_mm / scan.spacing[1:])])
        return scan._replace(ct=ct + strength * (ct - soft))

    return change


def moved(hounsfield: float) -> Change:
    """Every value by so many HU."""
    return lambda scan: scan._replace(ct=scan.ct + np.float32(hounsfield))


def noise(hounsfield: float) -> Change:
    """White noise of this standard deviation, HU, on top of what there is; of a fixed seed."""

    def change(scan: Scan) -> Scan:
        drawn = np.random.default_rng(0).normal(0, hounsfield, scan.ct.shape)
        return scan._replace(ct=scan.ct + drawn.astype(np.float32))

    return change


def turned(degrees: float, axes: tuple[int, int]) -> Change:
    """The patient turned about the middle of the CT, in the plane of two of the axes d, h, w."""

    def change(scan: Scan) -> Scan:
        first, second = axes
        mm, rotation = np.diag(scan.spacing), np.eye(3)
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        rotation[[first, first, second, second], [first, second, first, second]] = c, -s, s, c
        matrix = np.linalg.inv(mm) @ rotation @ mm
        middle = (np.array(scan.ct.shape) - 1) / 2
        at: dict[str, Any] = {"matrix": matrix, "offset": middle - matrix @ middle}
        ct = ndimage.affine_transform(scan.ct.astype(np.float32), **at, order=1, cval=AIR)
        return scan._replace(ct=ct, labels=ndimage.affine_transform(scan.labels, **at, order=0))

    return change


def cut_to_three(scan: Scan) -> Scan:
    """The slices of three neighbouring vertebrae in the middle of those that are labelled."""
    labels = Volume(scan.labels, _geometry(scan))
    vertebrae = read_vertebrae(labels, scan.scheme, "the label map").vertebrae
    kept = vertebrae[max(len(vertebrae) // 2 - 1, 0) :][:3]
    low = min(vertebra.start[0] for vertebra in kept)
    high = max(vertebra.stop[0] for vertebra in kept)
    affine = resampled_affine(scan.affine, (low, 0, 0), (1, 1, 1))
    return Scan(scan.ct[low:high], scan.labels[low:high], affine, scan.scheme)


CHANGES: dict[str, Change] = {
    **{f"slices of {mm:g} mm": slices_of(mm) for mm in (0.7, 1.25, 2.5, 3.0, 5.0)},
    "soft kernel": kernel(-1),
    "sharp kernel": kernel(1),
    **{f"{hu:+g} HU": moved(hu) for hu in (-100, 100)},
    **{f"noise of {hu:g} HU": noise(hu) for hu in (15, 30, 60)},
    "nodded by 10 degrees": turned(10, (0, 1)),
    "bent aside by 10 degrees": turned(10, (0, 2)),
    "turned by 10 degrees": turned(10, (1, 2)),
    "cut to three vertebrae": cut_to_three,
}


class Said(NamedTuple):
    """What is said of a vertebra: its answer, and the score of the map."""

    answer: str
    score: float


def _geometry(scan: Scan) -> Geometry:
    """That of a file with the axes w, h, d, as most have; its canonical ones are the scan's."""
    affine = scan.affine[:, [2, 1, 0, 3]]
    return geometry_from(scan.ct.shape[::-1], affine)


def said_of(scan: Scan, model: Model, folder: Path) -> dict[str, Said]:
    """What a model says of each vertebra of a scan, by level."""
    geometry = _geometry(scan)
    case = Case("case", "case", folder / "ct.nii.gz", vertebrae=folder / "vertebrae.nii.gz")
    ct = np.clip(np.rint(scan.ct), -1024, 32767).astype(np.int16)
    write_ct(case.ct, ct, geometry)
    write_labels(folder / "vertebrae.nii.gz", scan.labels, geometry)
    reading = SpineReading(vertebra_scheme=scan.scheme)
    found = predict_case(case, model, reading, folder / "out")
    rows = list_findings("case", found, model.thresholds).vertebrae
    return {row["level"]: Said(answer_of(row), row["score"]) for row in rows}


def compare(before: dict[str, Said], after: dict[str, Said]) -> dict[str, Any]:
    """Levels of both: how many, whose answer is another one, and how far their scores moved."""
    both = [level for level in before if level in after]
    other = [x for x in both if before[x].answer != after[x].answer]
    moves = [abs(before[x].score - after[x].score) for x in both]
    return {
        "vertebrae": len(both),
        "other answers": {x: f"{before[x].answer} -> {after[x].answer}" for x in other},
        "largest move of a score": max(moves, default=0.0),
    }


def study(folder: Path, model: Model) -> dict[str, dict[str, Any]]:
    """What each change does to what is said of a case."""
    ct = read_hounsfield(folder / "ct.nii.gz")
    labels = read_vertebra_labels(folder / "vertebrae.nii.gz")
    scheme = read_vertebrae(labels, None, str(folder)).scheme
    scan = Scan(ct.array, labels.array, ct.affine, scheme)
    with tempfile.TemporaryDirectory() as temporary:
        there = Path(temporary)
        before = said_of(scan, model, there)
        rows: dict[str, dict[str, Any]] = {
            "as it is": {"said": {level: tuple(said) for level, said in before.items()}}
        }
        for name, change in tqdm(CHANGES.items(), folder.name, unit="change", disable=None):
            rows[name] = compare(before, said_of(change(scan), model, there))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table for each case; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="+", type=Path, help="folders of cases")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="default the shipped one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    flags = parser.parse_args(argv)
    model = open_model(flags.model)
    print(", ".join(f"{key} {value}" for key, value in environment().items()))
    results = {folder.name: study(folder, model) for folder in flags.cases}
    for case, rows in results.items():
        print(f"{case}: " + ", ".join(f"{x} {a}" for x, (a, _) in rows["as it is"]["said"].items()))
        for name in CHANGES:
            row = rows[name]
            other = ", ".join(f"{x} {how}" for x, how in row["other answers"].items()) or "none"
            print(
                f"  {name:26}{row['vertebrae']:3d} vertebrae, score by up to "
                f"{row['largest move of a score']:.3f}, other answers: {other}"
            )
    if flags.json:
        kept = {"environment": environment(), "model": str(flags.model), "cases": results}
        flags.json.write_text(json.dumps(kept, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"robustness: {error}", file=sys.stderr)
        sys.exit(2)
