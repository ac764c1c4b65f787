"""Four devices against one, by jit over a mesh and by pmap, within stated tolerances.

Gradients agree to rounding. Adam divides by their size and so amplifies rounding where a gradient
is nearly zero; hence parameters are compared after SGD. Losses after Adam are compared where
processes are (`tests/test_processes.py`). With `-s` the differences found are printed.
"""

import functools
import logging
import os
import re
import resource
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from tests.training.tiny import ADVERSARIAL, SUPERVISED, tiny_batch, tiny_settings, tiny_state
from vfseg.crops.settings import AugmentSettings
from vfseg.errors import UserError
from vfseg.processes import cores
from vfseg.training.estimate import memory_words, step_bytes
from vfseg.training.parallel import make_runner
from vfseg.training.settings import RUNNERS
from vfseg.training.step import train_step

RATE = 0.05
HOST_FLAG = "--xla_force_host_platform_device_count={}"


AUGMENTED = tiny_settings(optax.sgd(RATE), augment=AugmentSettings(rotation=20.0, noise=20.0))


@functools.cache
def _runner(parallel, devices):
    """With augmentation on; one for all tests, since compiling takes long."""
    step = functools.partial(train_step, settings=AUGMENTED)
    return make_runner(step, parallel, 4, jax.devices()[:devices])


@functools.cache
def _train(parallel, devices, steps):
    """Trains; returns the states after the first and the last step, losses."""
    runner = _runner(parallel, devices)
    state, states, losses = runner.put_state(tiny_state(AUGMENTED)), [], []
    for number in range(steps):
        batch = runner.put_batch(tiny_batch(seed=number))
        state, metrics = runner.step(state, batch, phase=ADVERSARIAL)
        computed = runner.get(metrics).compute()
        losses.append([computed["loss"], computed["discriminator_loss"]])
        states.append(runner.get(state))
    return states[0], states[-1], np.array(losses)


def _largest_difference(a, b):
    return max(np.abs(x - y).max() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))


@pytest.mark.parametrize("parallel", RUNNERS)
def test_four_devices_equal_one_under_sgd(parallel):
    one_first, one, one_losses = _train("jit", 1, 3)
    four_first, four, four_losses = _train(parallel, 4, 3)
    np.testing.assert_allclose(four_losses[0], one_losses[0], rtol=1e-5)
    loss = np.abs(four_losses[0] / one_losses[0] - 1).max()
    print(f"\n{parallel} on 4 devices: first losses differ by {loss:.1e} (relative)", end="")
    for network in ("g_params", "d_params"):
        start = getattr(tiny_state(tiny_settings()), network)
        gradients = zip(
            *(jax.tree.leaves(t) for t in (start, *_both(one_first, four_first, network)))
        )
        for p, a, b in gradients:
            # After one step the parameters differ from the start by rate * gradient.
            scale = np.abs((p - a) / RATE).max()
            np.testing.assert_allclose((p - b) / RATE, (p - a) / RATE, atol=max(1e-5 * scale, 2e-6))
        difference = _largest_difference(*_both(one, four, network))
        print(f", {network} after 3 SGD steps by {difference:.1e}", end="")
        assert difference < 1e-5


def _runner_without_augmentation(parallel):
    step = functools.partial(train_step, settings=tiny_settings())
    return make_runner(step, parallel, 4, jax.devices())


def _both(one, four, network):
    return getattr(one, network), getattr(four, network)


@pytest.mark.parametrize("parallel", RUNNERS)
def test_a_step_moves_nothing_but_its_batch(parallel):
    """No hidden transfer between host and device, hence no wait, in a step that does not log."""
    runner = _runner_without_augmentation(parallel)
    state = runner.put_state(tiny_state(tiny_settings()))
    state, _ = runner.step(state, runner.put_batch(tiny_batch()), phase=SUPERVISED)
    batch = runner.put_batch(tiny_batch(seed=1))
    with jax.transfer_guard("disallow"):
        state, _ = runner.step(state, batch, phase=SUPERVISED)
    assert int(runner.get(state).step) == 2


@pytest.mark.parametrize("parallel", RUNNERS)
def test_a_step_that_was_compiled_before_is_not_compiled_again(parallel, caplog):
    """And its program says how much it holds: at least its state and its part of a batch.

    With recurrence at both scales, since what a step takes is estimated for the larger networks.
    """
    traced = []
    network = tiny_settings().generator.network.clone(recurrent_scales=(0, 1))
    settings = tiny_settings(generator={"network": network})

    def step(*arguments, **named):
        traced.append(named["phase"])
        return train_step(*arguments, settings=settings, **named)

    runner, batch = make_runner(step, parallel, 4, jax.devices()), tiny_batch()
    state = runner.put_state(tiny_state(settings))
    shapes = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in batch.items()}
    program = runner.compile(state, shapes, phase=SUPERVISED)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        state, _ = runner.step(state, runner.put_batch(batch), phase=SUPERVISED)
    assert traced == [SUPERVISED]
    assert "train_step" not in caplog.text
    host = [*jax.tree.leaves(tiny_state(settings)), batch["ct"][:1], batch["target"][:1]]
    held = sum(np.asarray(leaf).nbytes for leaf in host)
    found = program.memory_analysis()
    assert found.argument_size_in_bytes >= held
    planned = step_bytes(1, slices=4, pixels=16 * 16, features=4)  # of four runs one a device
    assert planned == pytest.approx(found.temp_size_in_bytes, rel=0.3)
    gigabytes = (found.temp_size_in_bytes + held) / 1e9
    words = memory_words([program])
    said = float(re.fullmatch(r"at most about ([\d.]+) GB of memory", words)[1])
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    assert said == pytest.approx(resident * 1.074 + 4 * gigabytes, rel=0.05)


def test_gradients_cross_as_one_array_a_network_and_losses_together():
    """Devices wait for each other at every exchange; losses are single numbers."""
    runner = _runner("jit", 4)
    state, batch = runner.put_state(tiny_state(AUGMENTED)), runner.put_batch(tiny_batch())
    program = runner.lower(state, batch, phase=ADVERSARIAL).compile().as_text()
    exchanged = re.findall(r"= (.*?) all-reduce\(", program)  # XLA joins several to tuples
    sizes = [size for types in exchanged for size in re.findall(r"f32\[([\d,]+)\]", types)]
    parameters = [
        sum(leaf.size for leaf in jax.tree.leaves(params))
        for params in (state.g_params, state.d_params)
    ]
    assert sorted(map(int, sizes)) == sorted(parameters)
    assert len(exchanged) <= 4


def test_what_cannot_be_split_is_refused():
    with pytest.raises(UserError, match=r"batch_size=6 does not divide among 4 devices"):
        make_runner(train_step, "jit", 6, jax.devices())


@pytest.mark.parametrize(("batch_size", "used"), [(4, 4), (6, 3), (5, 1), (8, 4)])
def test_of_the_cores_as_many_are_used_as_the_batch_divides_among(batch_size, used):
    runner = make_runner(train_step, "jit", batch_size)
    batch = runner.put_batch({"ct": np.zeros((batch_size, 1), np.int16)})
    assert len(batch["ct"].sharding.device_set) == used


@pytest.mark.parametrize(
    ("said", "found"),
    [({}, cores()), ({"JAX_NUM_CPU_DEVICES": "3"}, 3), ({"XLA_FLAGS": HOST_FLAG.format(3)}, 3)],
)
def test_every_core_is_a_device_unless_said_otherwise(said, found):
    program = "import jax; from vfseg.processes import use_cores; use_cores(); "
    ran = subprocess.run(
        [sys.executable, "-c", program + "print(jax.device_count())"],
        env={**os.environ, "XLA_FLAGS": "", **said},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(ran.stdout) == found
