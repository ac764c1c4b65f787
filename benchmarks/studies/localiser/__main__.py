"""Trains localisers, and measures them on labelled CTs that they never saw.

    python -m benchmarks.studies.localiser train --real FOLDER --cases FOLDER -o WEIGHTS.npz
                                                 [--without NAME ...] [--steps N] [--seed N]
                                                 [--start WEIGHTS.npz]
    python -m benchmarks.studies.localiser score --real FOLDER --weights WEIGHTS.npz
                                                 --on NAME [NAME ...] [--json FILE]

FOLDER of `--real` holds the files that `vfseg.localisation.cohort` names. `--without` leaves out
real CTs by name, which `score --on` then measures: leaving one
CT out is one training for each CT. `score` prints, for each CT and each way to see it, VerSe's
identification rate and mean distance, with names as they are found and with the lowest one given.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import logging
from tqdm import tqdm

from benchmarks.studies.localiser.score import Score, score, true_name
from benchmarks.studies.localiser.views import View, views
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.levels import LEVELS
from vfseg.data.volume import read_labels
from vfseg.errors import UserError
from vfseg.localisation.cohort import REAL, make_cases
from vfseg.localisation.find import name_spine, see_spine
from vfseg.localisation.labelled import body_points
from vfseg.localisation.training import train
from vfseg.localisation.weights import read_weights, write_weights

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
    args = parser.parse_args(arguments)
    logging.set_verbosity(logging.INFO)
    try:
        if args.command == "train":
            _train(args)
        else:
            _score(args)
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
        ct = read_hounsfield(args.real / REAL[name][0])
        points, _ = body_points(read_labels(args.real / REAL[name][1]), name)
        wanted = {level: place for level, place in points.items() if level in LEVELS}
        for view in tqdm(list(views(ct, wanted)), name, disable=None):
            free, settled = _both(view, params)
            rows.append({"ct": name, "view": view.name, "free": free, "settled": settled})
            print(f"{name}, {view.name}:\n  free: {free.line()}\n  lowest given: {settled.line()}")
    for way in ("free", "settled"):
        total = Score()
        for row in rows:
            total = total.plus(row[way])
        print(f"all, {way}: {total.line()}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


def _both(view: View, params: Any) -> tuple[Score, Score]:
    """Scores with names as found, and counted from the true name of the lowest found vertebra."""
    try:
        spine = see_spine(view.ct, params, view.name)
    except UserError:
        return score(None, view.points), score(None, view.points)
    free = name_spine(view.ct, spine, view.name, None)
    lowest = free.vertebrae[-1] if free.vertebrae else None
    level = true_name(lowest.place, view.points) if lowest is not None else None
    if level is None:
        return score(free, view.points), score(free, view.points)
    settled = name_spine(view.ct, spine, view.name, level)
    return score(free, view.points), score(settled, view.points)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
