"""Strict surroundings for every test: four fake devices, no silent rank promotion."""

import importlib.util
import os
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
# Compiling is most of what these tests wait for: LLVM need not polish programs that run once.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")

TORCH_MISSING = importlib.util.find_spec("torch") is None


def pytest_ignore_collect(collection_path):
    """Doctests stand in the package: modules that only help tests are not searched for them."""
    path = collection_path
    return True if path.suffix == ".py" and not path.name.startswith("test_") else None


def pytest_runtest_setup(item):
    """Skips tests marked `torch` where PyTorch is missing."""
    if TORCH_MISSING and item.get_closest_marker("torch"):
        pytest.skip("needs the extra torch")


@pytest.fixture(scope="session")
def real_ct_root():
    """Folder of real CT (layout: see README, Tests); skips, saying why, where there is none."""
    root = os.environ.get("VFSEG_REAL_CT")
    if not root:
        pytest.skip("VFSEG_REAL_CT is not set: no real CT to test on")
    return Path(root)
