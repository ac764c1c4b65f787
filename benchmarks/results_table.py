"""The tables of speed, from the files in `benchmarks/results/`.

    python -m benchmarks.results_table [--results DIR] --write docs/speed.md
    python -m benchmarks.results_table [--results DIR] --brief --write README.md

The files there were written by `python -m benchmarks --json FILE` on an idle machine. Each line of
the table compares this package with the fastest of its peers in the same run; the ratio is taken
round by round. Of several files for a kind of device, each line is taken from the newest one that
contains it; quick runs never count. What was not measured has no line. Below follows the table of
figures without a peer (`results_alone`); the brief one is what a user feels, on a CPU.
"""

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import results_alone
from benchmarks.environment import BUSY
from benchmarks.results_alone import figure

RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- speed -->", "<!-- /speed -->"
BACKENDS = ("cpu", "gpu")


class Comparison(NamedTuple):
    """A line of the table.

    Attributes:
        claim: what is done.
        benchmark: the script that measures it.
        ours: regular expression for the rows of this package; the fastest one counts.
        peers: regular expression for the rows it is compared with; the fastest one counts.
        goal: ratio to reach at least, on two CPU cores.
        felt: whether it is among the few that a user feels.
    """

    claim: str
    benchmark: str
    ours: str
    peers: str
    goal: float | None = None
    felt: bool = False


FLOAT32 = "(?!.*bfloat16).*"
"""Modes of the twin that compute in float32, as this package does on a CPU."""

COMPARISONS = (
    Comparison(
        "Training as used: runs of 4 targets, against plain windows",
        "twin_training",
        "vfseg, runs of 4",
        "PyTorch, plain windows, .*",
        1.5,
        felt=True,
    ),
    Comparison(
        "The same, PyTorch in float32 too",
        "twin_training",
        "vfseg, runs of 4",
        f"PyTorch, plain windows, {FLOAT32}",
    ),
    Comparison(
        "Training, the same work: plain windows",
        "twin_training",
        "vfseg, plain windows",
        "PyTorch, plain windows, .*",
        0.9,
    ),
    Comparison(
        "Training, the same work: runs of 4",
        "twin_training",
        "vfseg, runs of 4",
        "PyTorch, runs of 4, .*",
        0.9,
    ),
    Comparison(
        "The same, PyTorch in float32 too",
        "twin_training",
        "vfseg, runs of 4",
        f"PyTorch, runs of 4, {FLOAT32}",
    ),
    Comparison(
        "Prediction as used: encode once, against plain windows",
        "twin_inference",
        "vfseg, encode once",
        "PyTorch, plain windows, .*",
        2.0,
        felt=True,
    ),
    Comparison(
        "The same, PyTorch in float32 too",
        "twin_inference",
        "vfseg, encode once",
        f"PyTorch, plain windows, {FLOAT32}",
    ),
    Comparison(
        "Prediction, the same work: encode once",
        "twin_inference",
        "vfseg, encode once",
        "PyTorch, encode once, .*",
    ),
    Comparison(
        "Prediction, the same work: plain windows",
        "twin_inference",
        "vfseg, plain windows",
        "PyTorch, plain windows, .*",
    ),
    Comparison(
        "One CT from files to its map: 14 vertebrae, against the whole CT",
        "one_ct",
        "vfseg",
        "MONAI, the whole CT",
        3.0,
        felt=True,
    ),
    Comparison("The same, against the 14 boxes alone", "one_ct", "vfseg", "MONAI, the boxes", 1.0),
    Comparison("The same, against nnU-Net's 2D", "one_ct", "vfseg", "nnU-Net, its defaults"),
    Comparison("The same, its slices not mirrored", "one_ct", "vfseg", "nnU-Net, not mirrored"),
    Comparison(
        "Fusing 14 crops in 4 views, beside a copy of as many bytes into new memory",
        "fusion",
        "vfseg",
        "copy",
        0.5,
    ),
    Comparison("The same, beside others who fuse", "fusion", "vfseg", "MONAI|.* loop"),
    Comparison("Reading batches from a cold store", "input_pipeline", "vfseg", "PyTorch"),
    Comparison("Preparing a CT of 512x512x1571", "prepare", "vfseg", "SimpleITK", felt=True),
    Comparison("Preparing 8 CTs of 512x512x300 to train on", "eight_cts", "vfseg", "MONAI, .*"),
    Comparison("The same, beside nnU-Net's 2D", "eight_cts", "vfseg", "nnU-Net, .*"),
    Comparison("Augmenting a batch, strongly", "augment", "strong", "SciPy, .*"),
)


class Outcome(NamedTuple):
    """What a run measured for a line.

    Attributes:
        rate: of this package, with its unit.
        peer: name and rate of the fastest peer.
        ratio: lower quartile, median and upper quartile of the peer's time divided by ours; above 1
            this package is faster.
        limit: how near this package comes to the device's nearer limit; empty if not measured.
        run: environment of the run.
    """

    rate: str
    peer: str
    ratio: tuple[float, float, float]
    limit: str
    run: Mapping[str, Any]


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All results except those of quick runs, the newest first."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    kept = [result for result in found if not result["quick"]]
    return sorted(kept, key=lambda result: result["environment"]["date"], reverse=True)


def outcome(line: Comparison, results: Iterable[Mapping[str, Any]], backend: str) -> Outcome | None:
    """What the newest run on a backend measured for a line; of several sizes, the last one.

    Args:
        line: of the table.
        results: the newest first.
        backend: "cpu" or "gpu".
    """
    for result in results:
        if result["environment"]["backend"] != backend:
            continue
        for table in reversed(result["tables"]):
            ours = results_alone.matching(table, line.benchmark, line.ours)
            peers = results_alone.matching(table, line.benchmark, line.peers)
            if ours and peers:
                own, peer = (min(rows, key=lambda row: row["seconds"][1]) for rows in (ours, peers))
                ratios = np.divide(peer["times"], own["times"])
                low, median, high = np.percentile(ratios, [25, 50, 75])
                unit = table["unit"]
                return Outcome(
                    f"{figure(own['rate'])} {unit}",
                    f"{peer['name']}: {figure(peer['rate'])} {unit}",
                    (float(low), float(median), float(high)),
                    own["remarks"].get("limit", ""),
                    result["environment"],
                )
    return None


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """For each kind of device: the table, where its figures come from, and the second table."""
    parts: list[str] = []
    for backend in BACKENDS:
        parts += _compared(COMPARISONS, results, backend)
        alone = results_alone.markdown(results, backend)
        parts += [alone] if alone else []
    return "\n\n".join(parts)


def brief(results: Sequence[Mapping[str, Any]]) -> str:
    """The few lines that a user feels, on a CPU, and where their figures come from."""
    return "\n\n".join(_compared([line for line in COMPARISONS if line.felt], results, "cpu"))


def _compared(
    lines: Iterable[Comparison], results: Sequence[Mapping[str, Any]], backend: str
) -> list[str]:
    """The table of a backend, and where its figures come from; nothing where there are none."""
    head = ["", "vfseg", "best peer", "times as fast (quartiles)", "of the device's limit", "goal"]
    rows, runs = [], []
    for line in lines:
        found = outcome(line, results, backend)
        if found:
            low, median, high = found.ratio
            ratio = f"**{median:.2f}** ({low:.2f}–{high:.2f})"
            goal = f"≥ {line.goal:g}" if line.goal and backend == "cpu" else ""
            rows.append([line.claim, found.rate, found.peer, ratio, found.limit, goal])
            runs.append(_described(found.run))
    if not rows:
        return []
    title = {"cpu": "CPU", "gpu": "GPU"}[backend]
    table = [[f"**{title}**", *head[1:]], ["---"] * len(head), *rows]
    shown = "\n".join(f"| {' | '.join(cells)} |" for cells in table)
    return [shown, "; ".join(dict.fromkeys(runs))]


def write(readme: Path, table: str) -> None:
    """Replaces what stands between the markers of a file.

    Raises:
        SystemExit: the file does not contain each marker once, in order.
    """
    text = readme.read_text()
    between = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or not between.search(text):
        raise SystemExit(f"{readme}: needs one line {BEGIN} and one line {END} below it")
    readme.write_text(between.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text))


def _described(run: Mapping[str, Any]) -> str:
    packages = ("jax", "torch", "monai", "nnunetv2", "SimpleITK")
    versions = [f"{name} {run[name]}" for name in packages if name in run]
    device = run["processor"] if run["backend"] == "cpu" else run["device"]
    busy = f", load {run['load_before']:.1f} before" if run["load_before"] > BUSY else ""
    return f"{device}, {', '.join(versions)}, {run['date'][:10]}, commit {run['commit']}{busy}"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, or writes it into a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--write", type=Path, metavar="FILE", help="file with the two markers")
    parser.add_argument("--brief", action="store_true", help="the few lines that a user feels")
    args = parser.parse_args(argv)
    table = (brief if args.brief else markdown)(read_results(args.results))
    if args.write:
        write(args.write, table)
    else:
        print(f"{BEGIN}\n{table}\n{END}")


if __name__ == "__main__":
    main()
