"""The table of what was measured on GPUs, from `benchmarks/results/gpu/`.

    python -m benchmarks.gpu.table [--results DIR] --write docs/gpu.md

The files there are what `benchmarks/gpu.sh` left in `gpu.json`, one for a card. What was not
measured, or failed, has no line.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results_alone import figure
from benchmarks.results_table import BEGIN, END, RESULTS, write

SCORES = ("voxel dice", "voxel pr_auc", "vertebra roc_auc", "lesion average_precision")


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """A table for each file, and below it where its figures come from."""
    parts = []
    for result in results:
        lines = [
            "| " + " | ".join(cells) + " |"
            for cells in (("", "measured", "beside"), ("---",) * 3, *_lines(result))
        ]
        parts += ["\n".join(lines), "; ".join(dict.fromkeys(_places(result)))]
    return "\n\n".join(parts)


def _lines(result: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, row in result.items():
        if row["status"] != 0:
            continue
        if name == "tests":
            yield "Tests that a GPU can break", row["last_line"].strip("= "), ""
        for found in (row["found"],) if "found" in row else ():
            yield from _program(name, found) if "seconds" in found else _agreement(found)
        for table in row.get("tables", ()):
            if not table["title"].startswith(("Product", "Copy")):
                yield from _compared(table)


def _agreement(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    parts = {
        "loss": found["loss of the twin, relative difference"],
        "largest difference of a gradient": found["largest difference of a gradient"],
        "loss in bfloat16": found["loss in bfloat16, relative difference"],
    }
    said = "; ".join(f"{name} {value:.1e}" for name, value in parts.items())
    yield "A first training step, relative differences", said, "PyTorch on the same card"


def _program(name: str, found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    scores = []
    for score in SCORES:
        value, interval = found[score]["value"], found[score]["ci95"]
        between = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        scores.append(f"{score.replace('_', ' ')} {value:.3f}{between}")
    yield (
        f"`configs/{name}.py`, the whole job (synthetic truth)",
        f"{found['seconds']:.0f} s; " + ", ".join(scores),
        f"{found['slices per second of training, median']:.0f} slices/s while training",
    )


def _compared(table: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    ours, *others = sorted(
        table["rows"], key=lambda row: (row["name"] != "vfseg", row["seconds"][1])
    )

    def said(row: Mapping[str, Any]) -> str:
        low, median, high = (1e3 * value for value in row["seconds"])
        share = row["remarks"].get("share")
        remark = f", {100 * share:.1f} % of the matrix rate" if share is not None else ""
        return (
            f"{figure(row['rate'])} {table['unit']} ({figure(median)} ms, "
            f"{figure(low)}–{figure(high)}){remark}"
        )

    peers = "; ".join(f"{row['name']}: {said(row)}" for row in others)
    yield table["title"], said(ours), peers


def _places(result: Mapping[str, Any]) -> Iterator[str]:
    for row in result.values():
        if where := row.get("environment"):
            versions = (f"{name} {where[name]}" for name in ("python", "jax", "torch"))
            when = f"{where['date'][:10]}, commit {where['commit']}"
            yield f"{where['device']}, {', '.join(versions)}, {when}"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, or writes it into a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS / "gpu", metavar="DIR")
    parser.add_argument("--write", type=Path, metavar="FILE", help="file with the two markers")
    args = parser.parse_args(argv)
    found = [json.loads(path.read_text()) for path in sorted(args.results.glob("*.json"))]
    if args.write:
        write(args.write, markdown(found))
    else:
        print(f"{BEGIN}\n{markdown(found)}\n{END}")


if __name__ == "__main__":
    main()
