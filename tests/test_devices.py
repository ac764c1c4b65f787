"""Devices that cannot be started, or are full: one message."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.cohort import ROOT
from tests.commands.test_predict import write_case
from vfseg.devices import check_flags, enough_memory, memory_bytes, start
from vfseg.errors import UserError

BROKEN = "def initialize():\n    raise OSError('libwrong.so: cannot open shared object file')\n"


def _answer(folder, **environment):
    """Status and what is printed where the program is to predict in such an environment."""
    ct, labels, _ = write_case(folder)
    command = [sys.executable, "-m", "vfseg.main", "--mode=predict", f"--input={ct}"]
    command += [f"--vertebrae={labels}", f"--output={folder / 'out'}"]
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("platforms", ["cuda", "no_such_platform"])
def test_a_platform_that_is_not_there_is_named(tmp_path, platforms):
    status, said = _answer(tmp_path, JAX_PLATFORMS=platforms)
    assert status == 2
    assert "Traceback" not in said
    assert "no device to compute on could be started" in said
    assert f"JAX_PLATFORMS ({platforms}) says of which kind: cpu always works" in said


def test_a_library_that_does_not_fit_is_named_without_a_traceback(tmp_path):
    """A plugin of JAX that cannot load its library; then there is none of its devices."""
    plugin = tmp_path / "jax_plugins" / "wrong"
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(BROKEN)
    status, said = _answer(tmp_path, JAX_PLATFORMS="wrong")
    assert status == 2
    assert "Traceback" not in said
    assert "libwrong.so: cannot open shared object file" in said
    assert "no device to compute on could be started" in said


@pytest.mark.parametrize("name", ["JAX_NUM_CPU_DEVICES", "JAX_ENABLE_X64"])
def test_jax_that_does_not_load_is_named(tmp_path, name):
    status, said = _answer(tmp_path, **{name: "several"})
    assert (status, "Traceback" in said) == (2, False)
    assert "JAX cannot be loaded" in said
    assert "several" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--xla_no_such_flag=1", "Unknown flag in XLA_FLAGS: --xla_no_such_flag=1"),
        ("--xla_force_host_platform_device_count=many", "Couldn't interpret value many"),
        ("no/such/file", 'Could not open file "no/such/file"'),
    ],
)
def test_flags_that_xla_does_not_take_are_named(tmp_path, given, said):
    status, answer = _answer(tmp_path, XLA_FLAGS=given)
    assert status == 2
    assert answer.startswith(f"vfseg: XLA_FLAGS={given}: XLA does not take that ({said}")
    assert answer.count("\n") == 1


def test_flags_that_it_takes_are_let_through(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    check_flags()


def test_devices_that_are_there_start():
    start()


def test_memory_is_that_of_the_machine_or_what_a_device_says(monkeypatch):
    status = Path("/proc/meminfo")
    if status.exists():
        assert memory_bytes() == 1024 * int(re.search(r"MemTotal: +(\d+)", status.read_text())[1])
    for told, expected in (({"bytes_limit": 7}, 7), (None, None)):
        gpu = SimpleNamespace(platform="gpu", memory_stats=lambda told=told: told)
        monkeypatch.setattr(jax, "local_devices", lambda gpu=gpu: [gpu])
        assert memory_bytes() == expected


def test_a_device_that_is_full_is_answered_with_advice():
    with (
        pytest.raises(UserError, match=r"not enough memory \(.*RESOURCE_EXHAUSTED.*\)\. Take less"),
        enough_memory("Take less."),
    ):
        jnp.zeros((2**20, 2**20, 2**10), jnp.float32).block_until_ready()


def test_a_host_that_is_full_is_too():
    with (
        pytest.raises(UserError, match=r"not enough memory \(.*Unable to allocate"),
        enough_memory("Take less."),
    ):
        np.zeros((2**20, 2**20, 2**10))


def test_other_errors_are_left_as_they_are():
    def wrong(_):
        raise ValueError("another")

    with pytest.raises(jax.errors.JaxRuntimeError, match="another"), enough_memory("Take less."):
        jax.jit(lambda x: jax.pure_callback(wrong, jax.ShapeDtypeStruct((), np.float32), x))(
            1.0
        ).block_until_ready()
