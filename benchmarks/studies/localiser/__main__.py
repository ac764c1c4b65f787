"""Trains localisers, and measures them on labelled CTs that they never saw.

    python -m benchmarks.studies.localiser train --real FOLDER --cases FOLDER -o WEIGHTS.npz
                                                 [--without NAME ...] [--steps N] [--seed N]
                                                 [--start WEIGHTS.npz]
    python -m benchmarks.studies.localiser score --real FOLDER --weights WEIGHTS.npz
                                                 --on NAME [NAME ...] [--json FILE]

FOLDER of `--real` holds the files that `vfseg.localisation.cohort` names. `--without` leaves out
real CTs by name, which `score --on` then measures: leaving one
CT out is one training for each CT. `score` prints, for each CT and each way to see it, VerSe's
identification rate and mean distance: with names as they are found, and with the lowest level given.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import logging
from tqdm import tqdm

from benchmarks.studies.localiser.score import Score, score
from benchmarks.studies.localiser.views import View, views
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.levels import LEVELS
from vfseg.data.volume import read_labels
from vfseg.errors import UserError
from vfseg.localisation.cohort import REAL, make_cases
from vfseg.localisation.find import Found, find_vertebrae
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


def _both(view: View, params) -> tuple[Score, Score]:
    """Scores with names as found, and counted from the true name of the lowest found vertebra."""
    free = _found(view, params, None)
    if free is None:
        return score(None, view.points), score(None, view.points)
    return score(free, view.points), score(_settled(view, free, params), view.points)


def _found(view: View, params, lowest: str | None) -> Found | None:
    try:
        return find_vertebrae(view.ct, params, view.name, lowest)
    except UserError:
        return None


def _settled(view: View, free: Found, params) -> Found | None:
    """As a user would: the lowest vertebra that was found, by its true name."""
    lowest = free.vertebrae[-1]
    level, place = min(
        view.points.items(), key=lambda point: float(((point[1] - lowest.place) ** 2).sum())
    )
    away = place[2] - lowest.place[2]
    if away > 15:  # further down than any that is labelled: the next one
        below = (*LEVELS, "S1").index(level) + 1
        level = (*LEVELS, "S1")[below]
    return _found(view, params, level) if level in LEVELS else free


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
