"""The costliest operations of a step: found in a trace, named from the program."""

import jax
import jax.numpy as jnp

from benchmarks.profiling import operations, origins, record, report


def test_operations_of_the_step_are_found_with_their_origin(tmp_path):
    """One large product, and a program of another name that does not count."""

    def train_step(x):
        with jax.named_scope("layer"):
            return x @ x

    x = jnp.ones((256, 256))
    step, other = jax.jit(train_step), jax.jit(jnp.sin)
    found = operations(record(lambda: (step(x), other(x)), tmp_path))
    where = origins(step.lower(x).compile().as_text())
    costliest = max(found, key=found.get)
    assert "layer" in where[costliest]
    assert all("sin" not in where.get(name, "") for name in found)


def test_the_report_begins_with_the_costliest_and_gives_its_share():
    cost = {f"op.{n}": 1.0 for n in range(12)} | {"conv": 4.0}
    head, first, *others = report(cost, {"conv": "layer/conv"}).splitlines()
    assert head.startswith("16.0 ms")
    assert first.split() == ["4.00", "ms", "25", "%", "conv", "layer/conv"]
    assert len(others) == 9
