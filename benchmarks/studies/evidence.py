"""What of a map tells fractured vertebrae from healthy ones best: candidates, side by side.

    python -m benchmarks.studies.evidence --config configs/NAME.py [--manifest FILE] --workdir DIR
                                          [--model FOLDER] [--split SPLIT] [--json FILE]

Predicts the validation cases of a run (or those of another split), as an evaluation does, with its
own best checkpoint or another model, and prints the ROC-AUC of each candidate over the vertebrae:
all, those of phantoms, and those of virtual fractures in real bone. What `map_evidence` defines was
chosen by it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.configs import read_config
from benchmarks.environment import environment
from vfseg.commands.workdir import Run
from vfseg.config.model import load_trained, make_predictor
from vfseg.data.box import part_of
from vfseg.data.cases import Case
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.instances import instances_are_marked
from vfseg.data.settings import SPLITS
from vfseg.data.spine import read_spine
from vfseg.errors import UserError
from vfseg.evaluation.evaluate import Evaluator
from vfseg.evaluation.genant import height_losses
from vfseg.evaluation.heights import measure_spine
from vfseg.evaluation.map_evidence import MapEvidence, behind_body, highest_mean
from vfseg.evaluation.regions import VertebraRegion, vertebra_regions
from vfseg.evaluation.slices import SlicesOfCase
from vfseg.evaluation.truth import known_fractures
from vfseg.evaluation.vertebrae import score_vertebra

VOLUMES_ML = (0.1, 0.2, 0.5, 1.0)


class Unit(NamedTuple):
    """One vertebra: where it is from, the candidates' values, and the truth."""

    case: str
    level: str
    values: dict[str, float]
    fractured: bool


def candidates(
    probability: np.ndarray, region: VertebraRegion, behind: np.ndarray | None
) -> dict[str, float]:
    """Every candidate's value for one vertebra.

    Args:
        probability: of the map within the box of the region.
        region: of the vertebra.
        behind: bool [n], the voxels of the region that lie behind its body; None where the body is
            not measured: then all are one part.
    """
    values = probability[region.inside].astype(np.float64)
    behind = np.zeros(values.shape, bool) if behind is None else behind
    found = {
        "95th percentile": float(np.quantile(values, 0.95)),
        "highest voxel": float(values.max()),
        "expected volume": float(values.sum()) * region.voxel_mm3 / 1000,
    }
    for volume in VOLUMES_ML:
        whole, *apart = (
            highest_mean(part, region.voxel_mm3, volume)
            for part in (values, values[behind], values[~behind])
        )
        assert whole is not None  # no region is empty
        found[f"highest {volume:g} mL"] = whole
        found[f"highest {volume:g} mL, body or arch"] = max(x for x in apart if x is not None)
    return found


def units_of(evaluator: Evaluator, slices: SlicesOfCase, case: Case, marked: bool) -> list[Unit]:
    """The vertebrae of one case, predicted."""
    ct = read_hounsfield(case.ct)
    geometry, spine = ct.geometry, read_spine(case, ct.geometry, evaluator.settings)
    fused = slices.fused(evaluator.predictor.views, evaluator.fusion, 0.5)
    fused = fused.near_vertebrae(spine, geometry)
    box = fused.box(geometry)
    probability = fused.part_on_ct(geometry, box).probability
    instances = known_fractures(case, ct, marked).instances
    bodies = measure_spine(spine).bodies
    losses, units = height_losses(bodies), []
    for region, body in zip(vertebra_regions(spine, geometry), bodies, strict=True):
        level, behind = region.vertebra.level, behind_body(region, geometry, body)
        values = candidates(part_of(probability, box, region.box), region, behind)
        if level in losses:
            values["height loss"] = losses[level].evidence
        truth = score_vertebra(region, MapEvidence(0.0), None, instances[region.box])
        units.append(Unit(case.case_id, level, values, truth.fractured))
    return units


def table(units: Sequence[Unit], groups: dict[str, Sequence[Unit]]) -> list[dict[str, object]]:
    """ROC-AUC of each candidate, as rows; groups of vertebrae as columns.

    A vertebra without a value (heights that are not measured) is left out of that row alone.
    """
    names = list(dict.fromkeys(name for unit in units for name in unit.values))
    rows: list[dict[str, object]] = []
    for name in names:
        row: dict[str, object] = {"candidate": name}
        for group, members in groups.items():
            known = [(u.values[name], u.fractured) for u in members if name in u.values]
            truth = [fractured for _, fractured in known]
            both = any(truth) and not all(truth)
            row[group] = float(roc_auc_score(truth, [x for x, _ in known])) if both else None
        rows.append(row)
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Predicts the cases, prints the table, and returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", required=True, help="configs/NAME.py[:VARIANT]")
    parser.add_argument("--manifest", help="in place of the config's")
    parser.add_argument("--workdir", type=Path, required=True, help="of the run")
    parser.add_argument("--model", type=Path, help="default the best checkpoint of the run")
    parser.add_argument("--split", choices=SPLITS, default="validation")
    parser.add_argument("--follow_links", action="store_true", help="of the manifest")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the values there as well")
    flags = parser.parse_args(argv)
    path, _, variant = flags.config.partition(":")
    changes = {"manifest": flags.manifest} if flags.manifest else {}
    config = read_config(path, variant, changes)
    run = Run(config, flags.workdir, follow_links=flags.follow_links)
    trained = load_trained(flags.model or run.checkpoints)
    evaluator = Evaluator(
        make_predictor(trained.config),
        trained.g_params,
        run.store,
        config.inference.fusion,
        config.prepare,
    )
    cases = {case.case_id: case for case in run.prepared.cases}
    marked = instances_are_marked(tuple(cases.values()))
    units: list[Unit] = []
    for slices in evaluator.predict_slices(run.records(flags.split), flags.split):
        units += units_of(evaluator, slices, cases[slices.record.case_id], marked)
    phantoms = {
        case_id for case_id, case in cases.items() if run.data / "cohort" in case.ct.parents
    }
    groups = {
        "all": units,
        "phantoms": [unit for unit in units if unit.case in phantoms],
        "others": [unit for unit in units if unit.case not in phantoms],
    }
    rows = table(units, groups)
    print(", ".join(f"{key} {value}" for key, value in environment().items()))
    heads = [f"{g} ({sum(u.fractured for u in m)} of {len(m)})" for g, m in groups.items()]
    print(f"{'ROC-AUC (fractured of vertebrae)':34}" + "".join(f"{head:>24}" for head in heads))
    for row in rows:
        shown = (row[group] for group in groups)
        cells = "".join(f"{'-' if x is None else format(x, '.3f'):>24}" for x in shown)
        print(f"{row['candidate']:34}{cells}")
    if flags.json:
        kept = {"environment": environment(), "rows": rows, "units": [u._asdict() for u in units]}
        flags.json.write_text(json.dumps(kept, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"evidence: {error}", file=sys.stderr)
        sys.exit(2)
