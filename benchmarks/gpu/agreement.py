"""Whether a first training step computes on a GPU what the twin in PyTorch computes there.

    python -m benchmarks.gpu.agreement [--device cpu|gpu] [--quick] [--json FILE]

Loss and every gradient of the quickstart's step in float32, products not rounded, from the same
weights; each gradient within 1e-4 of its largest entry (see `benchmarks.twin_training`). A second
line says how far the package's own loss in bfloat16 lies from it.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from benchmarks import command
from benchmarks.configs import augmented
from benchmarks.environment import environment
from benchmarks.stepper import ADVERSARIAL, Stepper
from benchmarks.torch_modes import Mode, exactly
from benchmarks.torch_step import TorchStep
from benchmarks.twin_training import TOLERANCE, assert_same, first_step, restless_state


def farthest(got: Any, wanted: Any) -> dict[str, float]:
    """Array of a tree -> its largest difference, as a part of its largest entry."""
    pairs = zip(
        jax.tree_util.tree_leaves_with_path(got),
        jax.tree_util.tree_leaves_with_path(wanted),
        strict=True,
    )
    return {
        jax.tree_util.keystr(path): float(np.abs(one - other).max() / np.abs(other).max())
        for (path, one), (_, other) in pairs
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the largest differences; fails where one is too large."""
    args = command.arguments(__doc__ or "", argv)
    config = dataclasses.replace(
        augmented({}, 4, "tiny" if args.quick else ""), compute_dtype="float32"
    )
    state = restless_state(config)
    twin = TorchStep(config, state.g_params, state.d_params, Mode())
    with exactly():
        ours = Stepper(config, phase=ADVERSARIAL, state=state)
        loss, gradients = first_step(ours)
        found = float(twin(ours.batches[0]))
    of_twin = twin.gradients(state.g_params, state.d_params)
    differences = farthest(of_twin, gradients)
    reduced = dataclasses.replace(config, compute_dtype="bfloat16")
    rounded, _ = first_step(Stepper(reduced, phase=ADVERSARIAL, state=state))
    worst = max(differences, key=lambda name: differences[name])
    result = {
        "loss": loss,
        "loss of the twin, relative difference": abs(found / loss - 1),
        "largest difference of a gradient": differences[worst],
        "of": worst,
        "loss in bfloat16, relative difference": abs(rounded / loss - 1),
    }
    if args.json:
        args.json.write_text(json.dumps({"environment": environment(), "found": result}))
    for name in sorted(differences, key=lambda name: -differences[name])[:8]:
        print(f"{differences[name]:.1e} {name}")
    print(result)
    assert abs(found / loss - 1) <= TOLERANCE
    assert_same(of_twin, gradients)


if __name__ == "__main__":
    main()
