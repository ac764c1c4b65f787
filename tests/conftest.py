"""Strict surroundings for every test: four fake devices, no silent rank promotion."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
# Compiling is most of what these tests wait for: LLVM need not polish programs that run once.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def real_ct_root():
    """Folder of real CT (layout: see README, Tests); skips, saying why, where there is none."""
    from pathlib import Path

    root = os.environ.get("VFSEG_REAL_CT")
    if not root:
        pytest.skip("VFSEG_REAL_CT is not set: no real CT to test on")
    return Path(root)
