"""The costliest operations of a step: found in a trace, named and sorted from the program."""

import jax
import jax.numpy as jnp

from benchmarks.profiling import kinds, operations, origins, record, report


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


def test_a_fusion_is_of_the_kind_of_its_heaviest_part():
    program = """HloModule m

%fused (p: f32[2,2]) -> f32[2,2] {
  %p = f32[2,2]{1,0} parameter(0)
  %negate.1 = f32[2,2]{1,0} negate(%p)
  ROOT %dot.1 = f32[2,2]{1,0} dot(%negate.1, %p), lhs_contracting_dims={1}
}

ENTRY %main (x: f32[2,2]) -> f32[2,2] {
  %x = f32[2,2]{1,0} parameter(0)
  %fusion.1 = f32[2,2]{1,0} fusion(%x), kind=kLoop, calls=%fused
  %fusion.2 = (f32[2]{0}, /*index=1*/f32[2,2]{1,0}) fusion(%x), kind=kLoop, calls=%fused
  %call.1 = (f32[2,2]{1,0}, u8[0]{0}) custom-call(%x), custom_call_target="__cudnn$convForward"
  ROOT %add.1 = f32[2,2]{1,0} add(%fusion.1, %x)
}
"""
    found = kinds(program)
    assert (found["fusion.1"], found["add.1"]) == ("dot", "elementwise")
    assert (found["fusion.2"], found["call.1"]) == ("dot", "custom-call")


def test_kinds_are_found_in_a_program_that_was_compiled():
    def step(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME").sum(), jnp.tanh(x)

    x, kernel = jnp.ones((4, 16, 24, 24)), jnp.ones((16, 16, 3, 3))
    found = set(kinds(jax.jit(step).lower(x, kernel).compile().as_text()).values())
    assert {"convolution", "reduce", "elementwise"} <= found


def test_the_report_begins_with_kinds_then_the_costliest_and_gives_shares():
    cost = {f"op.{n}": 1.0 for n in range(12)} | {"conv": 4.0}
    what = {"conv": "convolution", "op.3": "dot"}
    head, *kinds_of, last = report(cost, {"conv": "layer/conv"}, what).splitlines()[:5]
    assert head.startswith("16.0 ms")
    assert [line.split() for line in kinds_of] == [
        ["11.00", "ms", "69", "%", "elementwise"],
        ["4.00", "ms", "25", "%", "convolution"],
        ["1.00", "ms", "6", "%", "dot"],
    ]
    assert last.split() == ["4.00", "ms", "25", "%", "conv", "layer/conv"]
    assert len(report(cost, {}, what).splitlines()) == 1 + 3 + 10
