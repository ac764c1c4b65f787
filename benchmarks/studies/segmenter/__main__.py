"""Trains segmenters, and measures their outlines on labelled CTs that they never saw.

    python -m benchmarks.studies.segmenter train --real MANIFEST [MANIFEST ...] -o WEIGHTS.npz
                                                 [--drawn MANIFEST ...] [--without PATIENT ...]
                                                 [--steps N] [--seed N]
    python -m benchmarks.studies.segmenter score --manifest MANIFEST --weights WEIGHTS.npz
                                                 [--on PATIENT ...] [--astray MM]

Manifests of `--real` name labelled CTs of real bone, fractured virtually or not; those of `--drawn`
CTs painted from label maps, or phantoms. `vfseg prepare real_bone` makes such cohorts in its
workdir, each with a manifest. Cases of patients `--without` are left out, and measured by
`score --on`: for each vertebra the Dice with its label, how far heights and their loss are off.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from benchmarks.studies.segmenter.score import OutlineScore, score
from vfseg.data.cases import Case
from vfseg.data.discovery import find_cases
from vfseg.errors import UserError
from vfseg.localisation.weights import write_weights
from vfseg.segmentation.labelled import read_labelled
from vfseg.segmentation.training import train
from vfseg.segmentation.weights import read_weights

STEPS = 900


def main(arguments: Sequence[str]) -> int:
    """Runs one of the two commands."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.segmenter")
    commands = parser.add_subparsers(dest="command", required=True)
    learn = commands.add_parser("train")
    learn.add_argument("--real", type=Path, nargs="+", required=True)
    learn.add_argument("--drawn", type=Path, nargs="*", default=[])
    learn.add_argument("-o", "--output", type=Path, required=True)
    learn.add_argument("--without", nargs="*", default=[])
    learn.add_argument("--steps", type=int, default=STEPS)
    learn.add_argument("--seed", type=int, default=0)
    judge = commands.add_parser("score")
    judge.add_argument("--manifest", type=Path, required=True)
    judge.add_argument("--weights", type=Path, required=True)
    judge.add_argument("--on", nargs="*", default=[])
    judge.add_argument("--astray", type=float, default=0.0)
    args = parser.parse_args(arguments)
    logging.set_verbosity(logging.INFO)
    try:
        {"train": _train, "score": _score}[args.command](args)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _train(args: argparse.Namespace) -> None:
    chosen = [
        (case, real)
        for manifests, real in ((args.real, True), (args.drawn, False))
        for manifest in manifests
        for case in find_cases(manifest)[0]
        if case.patient_id not in args.without
    ]
    cases = [read_labelled(case, real=real) for case, real in tqdm(chosen, "cases")]
    params = train(cases, args.steps, args.seed, lambda _, mean: write_weights(args.output, mean))
    write_weights(args.output, params)
    print(f"written: {args.output}, trained on {len(cases)} cases")


def _score(args: argparse.Namespace) -> None:
    cases: list[Case] = [
        case for case in find_cases(args.manifest)[0] if not args.on or case.patient_id in args.on
    ]
    params, found = read_weights(args.weights), []
    for case in tqdm(cases, disable=None):
        scores = score(case, params, args.astray)
        found += scores
        print(f"{case.case_id}: {_line(scores)}")
        for one in scores:
            print(f"  {one.level}: Dice {one.dice:.3f}{_heights(one)}")
    print(f"all: {_line(found)}")


def _line(scores: Sequence[OutlineScore]) -> str:
    if not scores:
        return "no whole vertebra"
    dice = [one.dice for one in scores]
    heights = [one.heights for one in scores if one.heights is not None]
    losses = [abs(one.loss) for one in scores if one.loss is not None]
    parts = [f"{len(dice)} vertebrae, Dice {np.mean(dice):.3f} (least {min(dice):.3f})"]
    if heights:
        parts.append(f"heights within {np.mean(heights):.1f} mm (most {max(heights):.1f})")
    if losses:
        parts.append(f"loss within {np.mean(losses):.1%} (most {max(losses):.1%})")
    return ", ".join(parts)


def _heights(one: OutlineScore) -> str:
    if one.heights is None or one.loss is None:
        return ", no heights"
    return f", heights within {one.heights:.1f} mm, loss {one.loss:+.1%}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
