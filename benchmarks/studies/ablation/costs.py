"""What a step of each variant costs, from which follow the steps of equal time."""

import json
from collections.abc import Mapping
from pathlib import Path

import jax

from benchmarks import timing
from benchmarks.stepper import Stepper
from benchmarks.studies.ablation.variants import VARIANTS, variant_config
from vfseg.config.config import Config
from vfseg.config.recipe import initial_state
from vfseg.training.stages import Stage, plan_stages

DECISIVE = ("generator", "discriminator", "losses", "windows", "augment", "prepare")
"""Sections of a config on which the cost of a step depends."""


def measured_costs(file: Path, steps: int, *, quick: bool = False) -> dict[str, dict[str, float]]:
    """Milliseconds of a mean step of each variant, and of one of its windows; its parameters.

    They are measured once, side by side, and kept, so that the steps of equal time stay the same;
    and again if a config has changed. Stages that compute the same share a measurement.

    Args:
        file: where they are kept.
        steps: of every variant.
        quick: take the sizes of `variants.QUICK`, and fewer rounds.
    """
    configs = {name: variant_config(name, steps, quick=quick) for name in VARIANTS}
    plain = {name: config.to_dict() for name, config in configs.items()}
    kept = json.loads(file.read_text()) if file.exists() else {}
    if kept.get("configs") == plain:
        return kept["costs"]
    means = step_seconds(configs, rounds=3 if quick else 7)
    costs = {}
    for name, config in configs.items():
        windows = config.windows.batch_size * config.windows.targets
        params = jax.tree.leaves(initial_state(config).g_params)
        costs[name] = {
            "ms_per_step": 1e3 * means[name],
            "ms_per_slice": 1e3 * means[name] / windows,
            "parameters": sum(leaf.size for leaf in params),
        }
    file.write_text(json.dumps({"configs": plain, "costs": costs}, indent=1))
    return costs


def step_seconds(configs: Mapping[str, Config], *, rounds: int) -> dict[str, float]:
    """Seconds of a mean step of each config, over its stages; measured side by side, and printed.

    Args:
        configs: by name.
        rounds: of the race.
    """
    competitors, first, timed_as = {}, {}, {}
    for name, config in configs.items():
        values = config.to_dict()
        for stage in _stages(config):
            work = repr(([values[section] for section in DECISIVE], stage.phase))
            if work not in first:
                first[work] = f"{name} {stage.name}"
                competitors[first[work]] = Stepper(config, phase=stage.phase)
            timed_as[name, stage.name] = first[work]
    table = timing.race(
        timing.Task("cost of a step", 1, "steps/s"),
        competitors,
        baseline=next(iter(competitors)),
        rounds=rounds,
    )
    print(table)
    seconds = {row.name: row.seconds[1] for row in table.rows}
    return {
        name: sum(
            (s.last - s.first) / config.stages.total * seconds[timed_as[name, s.name]]
            for s in _stages(config)
        )
        for name, config in configs.items()
    }


def _stages(config: Config) -> tuple[Stage, ...]:
    return plan_stages(config.stages, frozen=config.pretrained.frozen_scales > 0)
