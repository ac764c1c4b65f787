"""Counting: known products, and the training step against the arithmetic of its layers.

Counts do not depend on how busy the machine is, so what a change costs shows here, not in timings.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.configs import QUICKSTART, read_config
from benchmarks.counting import Limits, Work, of_compiled, of_torch, share_of_limit
from benchmarks.stepper import SUPERVISED, Stepper
from benchmarks.twin_training import restless_state
from vfseg.config.model import make_predictor

N, M, K = 8, 16, 32
PRODUCT = 2 * N * M * K
PRODUCT_BYTES = 4 * (N * M + M * K + N * K)
SIZE, FEATURES, STATES, LENGTH = 16, (16, 32), 8, 5


def test_a_product_compiled():
    a, b = jnp.zeros((N, M)), jnp.zeros((M, K))
    assert of_compiled(jax.jit(jnp.matmul).lower(a, b).compile()) == (PRODUCT, PRODUCT_BYTES)


@pytest.mark.torch
def test_a_product_in_torch():
    """The view costs nothing; the sum in place reads twice and writes once."""
    import torch

    a, b = torch.zeros(N, M), torch.zeros(K, M)
    assert of_torch(lambda: a @ b.T) == (PRODUCT, PRODUCT_BYTES)
    assert of_torch(lambda: a.add_(a)) == (0, 3 * 4 * N * M)


def test_the_share_of_the_limit_is_that_of_the_nearer_one():
    """Half a second of products or a quarter of copies, done in two seconds."""
    limits = Limits(operations=100.0, bytes=8.0)
    assert share_of_limit(Work(50.0, 2.0), 2.0, limits) == (0.25, "matrix product")
    assert share_of_limit(Work(5.0, 8.0), 2.0, limits) == (0.5, "copy")


def config_of(targets):
    """Eight windows a step: two scales, gates, a ConvLSTM at each scale."""
    changes = {
        "generator.features": FEATURES,
        "generator.recurrent_scales": (0, 1),
        "generator.recurrent_features": STATES,
        "windows.length": LENGTH,
        "prepare.crop_shape": (SIZE,) * 3,
        "augment.left_right_flip": 0.0,
        "windows.targets": targets,
        "windows.batch_size": 8 // targets,
    }
    return read_config(QUICKSTART, "tiny", changes)


@pytest.fixture(scope="module")
def steps():
    """Steps by the number of targets of a run: 4, or 1 for plain windows."""
    made = {}
    for targets in (4, 1):
        config = config_of(targets)
        made[targets] = Stepper(config, phase=SUPERVISED, state=restless_state(config))
    return made


@pytest.fixture(scope="module")
def programs(steps):
    return {targets: step.compiled() for targets, step in steps.items()}


def conv(size, before, features):
    """A 3x3 convolution: in each line the middle tap meets all pixels, the others miss one."""
    return 2 * (3 * size - 2) ** 2 * before * features


def dense(size, before, features):
    return 2 * size**2 * before * features


def layers():
    """Forward operations: (first layer a slice, other layers a slice, layers a window).

    The encoder and the input half of the gates are computed for slices, the rest for windows.
    """
    fine, coarse = FEATURES
    half, gate = SIZE // 2, fine // 2
    first = conv(SIZE, 2, fine)
    a_slice = conv(SIZE, fine, fine) + conv(half, fine, coarse) + conv(half, coarse, coarse)
    a_slice += conv(SIZE, fine, 4 * STATES) + conv(half, coarse, 4 * STATES)
    a_window = LENGTH * (conv(SIZE, STATES, 4 * STATES) + conv(half, STATES, 4 * STATES))
    a_window += 2 * conv(half, coarse, coarse) + conv(half, STATES, coarse)
    a_window += dense(SIZE, fine, gate) + dense(half, coarse, gate) + dense(SIZE, gate, 1)
    a_window += conv(SIZE, coarse + fine, fine) + conv(SIZE, STATES, fine)
    a_window += conv(SIZE, fine, fine) + dense(SIZE, fine, 1)
    return first, a_slice, a_window


def step_operations(targets, windows=8):
    """Of a step: forward, gradients of the kernels and of the inputs, but the first layer's."""
    first, a_slice, a_window = layers()
    slices = windows // targets * (targets + LENGTH - 1)
    return slices * (2 * first + 3 * a_slice) + windows * 3 * a_window


@pytest.mark.parametrize("targets", [4, 1])
def test_a_step_costs_what_its_layers_cost(programs, targets):
    """Norms, activations, losses and Adam come on top; nothing is computed twice."""
    counted, derived = of_compiled(programs[targets]).operations, step_operations(targets)
    assert derived < counted < 1.2 * derived


def test_runs_save_what_they_share(programs):
    """Four windows of a run see 8 slices, not 20."""
    saved = step_operations(4) / step_operations(1)
    assert saved < 0.7
    ours, plain = (of_compiled(programs[targets]) for targets in (4, 1))
    assert ours.operations / plain.operations < 1.05 * saved
    assert ours.bytes < plain.bytes


def test_on_two_devices_each_has_half_of_the_work(steps):
    """What a device counts, times two; Adam, which both run, and sums between them come on top."""
    halves = Stepper(config_of(4), phase=SUPERVISED, devices=2)
    assert halves.devices == 2
    alone, shared = (of_compiled(step.compiled()) for step in (steps[4], halves))
    assert alone.operations < shared.times(2).operations < 1.1 * alone.operations


def test_the_program_is_named_for_profiles(programs):
    assert programs[4].as_text().startswith("HloModule jit_train_step,")


def test_the_state_is_updated_in_place(steps, programs):
    state = sum(leaf.nbytes for leaf in jax.tree.leaves(steps[4].state))
    assert programs[4].memory_analysis().alias_size_in_bytes == state


def activations(targets, windows=8):
    """Bytes that the backward pass needs: each convolution's input and output, as float32."""
    fine, coarse = FEATURES
    full, half = SIZE**2, (SIZE // 2) ** 2
    a_slice = full * (2 * fine + 4 * STATES) + half * (2 * coarse + 4 * STATES)
    a_window = LENGTH * (full + half) * 6 * STATES  # gates, c, h
    a_window += full * (3 * fine + coarse) + half * 2 * coarse
    return 4 * (windows // targets * (targets + LENGTH - 1) * a_slice + windows * a_window)


def test_buffers_hold_no_more_than_the_backward_pass_needs(programs):
    """Norm and activation keep theirs beside each convolution: at most three times as many."""
    for targets, program in programs.items():
        assert program.memory_analysis().temp_size_in_bytes < 3 * activations(targets)


@pytest.fixture
def compilations():
    """Names of the programs that XLA compiles meanwhile."""
    seen = []

    def listen(event, duration, **about):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(about)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


def test_a_step_is_compiled_once(steps, programs, compilations):
    """It was, for `programs`; four batches and a state that moves on need no other."""
    for _ in range(4):
        jax.block_until_ready(steps[4]())
    assert not compilations


def test_a_prediction_is_compiled_once_for_any_number_of_crops(compilations):
    """The network, and what turns the answers of its views back."""
    config = config_of(1)
    params = restless_state(config).g_params
    for count in (1, 3):
        make_predictor(config).slices(params, np.zeros((count, SIZE, SIZE, SIZE), np.int16))
    assert [about["fun_name"] for about in compilations] == ["jit(predict)", "jit(back)"]
