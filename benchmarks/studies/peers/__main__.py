"""Why not the field's default? nnU-Net v2 and MONAI on the crops of a run, for its time.

    python -m vfseg.main --config configs/vertebral_fracture.py
    python -m benchmarks.studies.peers --run runs/vertebral_fracture --minutes N [--only NAME ...]
                                       [--workdir DIR] [--seed N]

The first command trains the full recipe; N are the minutes of processor time that its training
took, as the shell's `time` has them (`user`) for `--mode train` of a prepared run under
`JAX_NUM_CPU_DEVICES=1`. Each peer is trained for as long on the same training crops, on one core:

    nnunet-2d, nnunet-3d   nnU-Net v2: own plans, loss, augmentation, schedule, mirrored prediction;
                           batch of 32 and 2; the number of iterations is set to the time
    monai-3d               MONAI's 3D AttentionUnet of about as many channels as ours

All are judged as the run is: thresholds from the validation cases, figures from the test cases, on
the grid of the CT, beside the run on the same resamples. The truth of the cohort is synthetic.
Needs the extra `bench`. What is finished is not done again.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.studies.peers import monai_unet, nnunet
from benchmarks.studies.peers.crops import crops_of
from benchmarks.studies.peers.judge import CropFunction, judge
from vfseg.commands.workdir import Run
from vfseg.config.config import read_config
from vfseg.evaluation.compare import compare_runs, comparison_text
from vfseg.evaluation.measures import read_states

PEERS = ("nnunet-2d", "nnunet-3d", "monai-3d")


def main(argv: Sequence[str] | None = None) -> None:
    """Trains what is not trained yet, judges it, prints each peer beside the run."""
    args = _arguments(argv)
    unknown = set(args.only) - set(PEERS)
    if unknown:
        sys.exit(f"no peer {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    if not (args.run / "evaluation" / "states.npz").exists():
        sys.exit(f"{args.run}: no evaluation there; train and evaluate the run first")
    config = read_config(json.loads((args.run / "config.json").read_text()))
    run = Run(config, args.run, args.data)
    for name in args.only:
        folder = args.workdir / f"{args.minutes:g}-minutes" / name
        folder.mkdir(parents=True, exist_ok=True)
        predict = trained(name, run, folder, args)
        if not (folder / "evaluation" / "summary.json").exists():
            judge(run, predict(), folder)
        theirs = read_states(args.run / "evaluation" / "states.npz")
        comparison = compare_runs(folder, args.run, theirs, seed=config.seed)
        print(comparison_text(comparison), flush=True)


def trained(
    name: str, run: Run, folder: Path, args: argparse.Namespace
) -> Callable[[], CropFunction]:
    """Trains a peer unless that was done; returns what opens it."""
    seconds, done = 60 * args.minutes, folder / "trained.json"
    if name == "monai-3d":
        windows = np.array(run.config.hu_windows)
        if not done.exists():
            monai_unet.train(crops_of(run, "train"), windows, seconds, folder, args.seed)
            done.write_text(json.dumps({"minutes": args.minutes}))
        return lambda: monai_unet.load(windows, folder)
    configuration = dict(zip(PEERS, nnunet.CONFIGURATIONS))[name]
    place = folder.parent / "nnunet"
    if not done.exists():
        if not (place / "raw").exists():
            nnunet.write({split: crops_of(run, split) for split in ("train", "validation")}, place)
        nnunet.train(configuration, seconds, place)
        done.write_text(json.dumps({"minutes": args.minutes}))
    return lambda: nnunet.load(configuration, place)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.peers", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--run", type=Path, required=True, help="workdir of the evaluated run")
    parser.add_argument("--data", type=Path, help="its --data, if it had one")
    parser.add_argument("--minutes", type=float, required=True, help="of processor time, each")
    parser.add_argument("--only", nargs="+", default=list(PEERS), metavar="NAME")
    parser.add_argument("--workdir", type=Path, default=Path("runs/peers"))
    parser.add_argument("--seed", type=int, default=0, help="of MONAI; nnU-Net has none")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
