"""The README's table of speed, from the files in `benchmarks/results/`.

    python -m benchmarks.results_table [--results DIR] [--write README.md]

A file there is what `python -m benchmarks --json FILE` wrote on an idle machine. Each line of the
table compares this package with the best of its peers in the same run; the ratio is taken round by
round. Of several files for a kind of device the newest that holds a line counts; quick runs never
do. Where nothing was measured, the place stays empty. Below it stands what has no peer
(`results_alone`).
"""

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import results_alone
from benchmarks.results_alone import figure

RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- speed -->", "<!-- /speed -->"
BACKENDS = ("cpu", "gpu")


class Line(NamedTuple):
    """A claim.

    Attributes:
        claim: what is done.
        benchmark: where it is measured.
        ours: pattern of the rows of this package; the best one counts.
        peers: pattern of the rows it is compared with; the best one counts.
        goal: least ratio aimed at on two CPU cores.
    """

    claim: str
    benchmark: str
    ours: str
    peers: str
    goal: float | None = None


FLOAT32 = "(?!.*bfloat16).*"
"""Modes of the twin that compute as exactly as this package does on a CPU."""

LINES = (
    Line(
        "Training as used: runs of 4 targets, against plain windows",
        "twin_training",
        "vfseg, runs of 4",
        "PyTorch, plain windows, .*",
        1.5,
    ),
    Line(
        "The same, PyTorch in float32 too",
        "twin_training",
        "vfseg, runs of 4",
        f"PyTorch, plain windows, {FLOAT32}",
    ),
    Line(
        "Training, the same work: plain windows",
        "twin_training",
        "vfseg, plain windows",
        "PyTorch, plain windows, .*",
        0.9,
    ),
    Line(
        "Training, the same work: runs of 4",
        "twin_training",
        "vfseg, runs of 4",
        "PyTorch, runs of 4, .*",
        0.9,
    ),
    Line(
        "The same, PyTorch in float32 too",
        "twin_training",
        "vfseg, runs of 4",
        f"PyTorch, runs of 4, {FLOAT32}",
    ),
    Line(
        "Prediction as used: encode once, against plain windows",
        "twin_inference",
        "vfseg, encode once",
        "PyTorch, plain windows, .*",
        2.0,
    ),
    Line(
        "The same, PyTorch in float32 too",
        "twin_inference",
        "vfseg, encode once",
        f"PyTorch, plain windows, {FLOAT32}",
    ),
    Line(
        "Prediction, the same work: encode once",
        "twin_inference",
        "vfseg, encode once",
        "PyTorch, encode once, .*",
    ),
    Line(
        "Prediction, the same work: plain windows",
        "twin_inference",
        "vfseg, plain windows",
        "PyTorch, plain windows, .*",
    ),
    Line(
        "Merging windows into 512x512x800, beside a copy of as many bytes into new memory",
        "merge",
        "vfseg",
        "copy",
        0.5,
    ),
    Line("The same, beside a copy into memory in use", "merge", "vfseg", "copy into memory in use"),
    Line("The same, beside those who merge", "merge", "vfseg", "MONAI|PyTorch loop|NumPy loop"),
    Line("Reading batches from a cold store", "input_pipeline", "vfseg", "PyTorch"),
    Line("Preparing a CT of 512x512x1571", "prepare", "vfseg", "SimpleITK"),
    Line("Augmenting a batch, strongly", "augment", "strong", "SciPy, .*"),
)


class Cell(NamedTuple):
    """What a run says of a line.

    Attributes:
        rate: of this package, with its unit.
        peer: name and rate of the best peer.
        ratio: lower quartile, median and upper quartile of the peer's time over ours; above 1 this
            package is faster.
        share: of the device's nearer limit, as the benchmark says; empty where it does not.
        run: where it was measured.
    """

    rate: str
    peer: str
    ratio: tuple[float, float, float]
    share: str
    run: Mapping[str, Any]


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All results that were not quick, the newest first."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    kept = [result for result in found if not result["quick"]]
    return sorted(kept, key=lambda result: result["environment"]["date"], reverse=True)


def cell(line: Line, results: Iterable[Mapping[str, Any]], backend: str) -> Cell | None:
    """The newest measurement of a line on a backend; the last of several sizes."""
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
                return Cell(
                    f"{figure(own['rate'])} {unit}",
                    f"{peer['name']}: {figure(peer['rate'])} {unit}",
                    (float(low), float(median), float(high)),
                    own["remarks"].get("limit", ""),
                    result["environment"],
                )
    return None


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """For each kind of device the table, where its figures are from, and what has no peer."""
    head = ["", "vfseg", "best peer", "times as fast (quartiles)", "of the device's limit", "goal"]
    parts = []
    for backend in BACKENDS:
        rows, runs = [], []
        for line in LINES:
            found = cell(line, results, backend)
            goal = f"≥ {line.goal:g}" if line.goal and backend == "cpu" else ""
            shown = [""] * 4
            if found:
                low, median, high = found.ratio
                ratio = f"**{median:.2f}** ({low:.2f}–{high:.2f})"
                shown = [found.rate, found.peer, ratio, found.share]
                runs.append(_described(found.run))
            rows.append([line.claim, *shown, goal])
        title = {"cpu": "CPU", "gpu": "GPU"}[backend]
        lines = [[f"**{title}**", *head[1:]], ["---"] * len(head), *rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        where = "; ".join(dict.fromkeys(runs)) or "Nothing was measured yet."
        alone = results_alone.markdown(results, backend)
        parts += [f"{table}\n\n{where}", *([alone] if alone else [])]
    return "\n\n".join(parts)


def write(readme: Path, table: str) -> None:
    """Puts the table between the markers of a file.

    Raises:
        SystemExit: the markers are not there, once each and in order.
    """
    text = readme.read_text()
    between = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if text.count(BEGIN) != 1 or text.count(END) != 1 or not between.search(text):
        raise SystemExit(f"{readme}: needs one line {BEGIN} and, below it, one line {END}")
    readme.write_text(between.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text))


def _described(run: Mapping[str, Any]) -> str:
    versions = [
        f"{name} {run[name]}" for name in ("jax", "torch", "monai", "SimpleITK") if name in run
    ]
    device = run["processor"] if run["backend"] == "cpu" else run["device"]
    busy = f", load {run['load_before']:.1f} before" if run["load_before"] > 0.5 else ""
    return f"{device}, {', '.join(versions)}, {run['date'][:10]}, commit {run['commit']}{busy}"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, or writes it into a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a file with the two markers")
    args = parser.parse_args(argv)
    table = markdown(read_results(args.results))
    if args.write:
        write(args.write, table)
    else:
        print(f"{BEGIN}\n{table}\n{END}")


if __name__ == "__main__":
    main()
