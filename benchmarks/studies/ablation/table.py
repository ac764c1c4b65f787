"""The table of the ablation: what each variant reached, over its seeds."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.studies.ablation.plan import RULES, Run
from benchmarks.studies.ablation.runs import data_of, is_finished
from benchmarks.studies.ablation.variants import VARIANTS
from vfseg.data.discovery import find_cases
from vfseg.data.volume import read_geometry
from vfseg.evaluation.truth import ACROSS_SLICES

HEAD = (
    *("variant", "equal", "steps", "parameters", "ms/slice", "voxel Dice", "voxel PR-AUC"),
    *("across slices", "by volume quartile, smallest first", "by voxel volume, finest first"),
    "seeds",
)
LEGEND = (
    "Mean ± standard deviation over the seeds; synthetic truth. `across slices`: voxel recall of "
    "fractures that no sagittal slice shows; `by volume`: voxel recall; `by voxel volume`: Dice of "
    "a case; `ms/slice`: of training, per target slice."
)


def collect(
    plan: Sequence[Run], costs: Mapping[str, Mapping[str, float]], workdir: Path
) -> list[dict[str, Any]]:
    """A row for each variant and rule of which at least one run is finished."""
    done: dict[tuple[str, str], list[Run]] = {}
    for run in plan:
        if is_finished(workdir / run.folder):
            done.setdefault((run.name, run.rule), []).append(run)
    rows = []
    order = {name: place for place, name in enumerate(VARIANTS)}
    for name, rule in sorted(done, key=lambda row: (order[row[0]], RULES.index(row[1]))):
        folders = [workdir / run.folder / "evaluation" for run in done[name, rule]]
        summaries = [json.loads((folder / "summary.json").read_text()) for folder in folders]
        sizes = [summary["by_size"] for summary in summaries]
        volumes = voxel_volumes(data_of(workdir) / "cohort" / "manifest.csv")
        spacings = (dice_by_spacing(folder / "cases.csv", volumes) for folder in folders)
        rows.append(
            {
                "variant": name,
                "equal": rule,
                "steps": done[name, rule][0].steps,
                "parameters": int(costs[name]["parameters"]),
                "ms_per_slice": costs[name]["ms_per_slice"],
                "dice": [s["voxel"]["dice"]["value"] for s in summaries],
                "pr_auc": [s["voxel"]["pr_auc"]["value"] for s in summaries],
                "recall_across_slices": [
                    s["by_pattern"].get(ACROSS_SLICES, {}).get("voxel_recall", {}).get("value")
                    for s in summaries
                ],
                "recall_by_volume": [
                    [size[quartile]["voxel_recall"]["value"] for size in sizes]
                    for quartile in sizes[0]
                ],
                "dice_by_spacing": list(zip(*spacings)),
            }
        )
    return rows


def voxel_volumes(manifest: Path) -> dict[str, float]:
    """Volume of a voxel of each case's CT, mm³."""
    cases, _ = find_cases(manifest)
    spacings = {case.case_id: read_geometry(case.ct).voxel_spacing for case in cases}
    return {case_id: float(np.prod(spacing)) for case_id, spacing in spacings.items()}


def dice_by_spacing(scores: Path, volumes: Mapping[str, float]) -> list[float]:
    """Mean Dice of the cases in three groups of equal size, finest voxels first.

    Args:
        scores: `evaluation/cases.csv` of a run.
        volumes: of a voxel of each case.
    """
    with open(scores, newline="") as file:
        dice = {row["case_id"]: float(row["dice"] or "nan") for row in csv.DictReader(file)}
    scored = sorted((case for case in volumes if case in dice), key=volumes.__getitem__)
    groups = np.array_split(scored, min(3, len(scored)))
    return [float(np.nanmean([dice[str(case)] for case in group])) for group in groups]


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `collect`, as mean and standard deviation over the seeds."""
    lines = [HEAD, ("---",) * len(HEAD)]
    for row in rows:
        lines.append(
            (
                row["variant"],
                row["equal"],
                str(row["steps"]),
                f"{row['parameters']:,}",
                f"{row['ms_per_slice']:.1f}",
                *(_spread(row[key]) for key in ("dice", "pr_auc", "recall_across_slices")),
                *(_means(row[key]) for key in ("recall_by_volume", "dice_by_spacing")),
                str(len(row["dice"])),
            )
        )
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{LEGEND}"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ± {np.std(known, ddof=1):.3f}" if len(known) > 1 else ""
    return f"{np.mean(known):.3f}{spread}"


def _means(groups: Sequence[Sequence[float | None]]) -> str:
    return ", ".join(_spread(group).split(" ")[0] for group in groups)
