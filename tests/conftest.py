"""Strict surroundings for every test: four fake devices, no silent rank promotion.

`VFSEG_TEST_PLATFORMS=cuda,cpu` has tests run on a GPU, with products in full float32; those that
need several devices fail there.
"""

import atexit
import gc
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import tempfile
from pathlib import Path

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a background job
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["JAX_PLATFORMS"] = os.environ.get("VFSEG_TEST_PLATFORMS", "cpu")
# Compiling is most of what these tests wait for: LLVM need not polish programs that run once, and
# what one test compiled, no other test, worker or process compiles again. jaxlib 0.10 still has the
# older code generator for fused operations, which compiles a training step in a third of the time.
if os.environ["JAX_PLATFORMS"] == "cpu":
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
    )
    if importlib.metadata.version("jaxlib").startswith("0.10."):
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
else:
    os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="vfseg-compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax
import pytest

from tests.program import STARTED, copy_of, finish, start

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")

TORCH_MISSING = importlib.util.find_spec("torch") is None


def pytest_ignore_collect(collection_path):
    """Doctests stand in the package: modules that only help tests are not searched for them."""
    path = collection_path
    return True if path.suffix == ".py" and not path.name.startswith("test_") else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks as `torch` what needs PyTorch; files that start whole programs or train come first.

    The long forms of the attacks have no limit of time.

    A worker with such a file at the end would be waited for.
    """
    for item in items:
        if _needs_torch(item):
            item.add_marker("torch")
        if os.environ.get("VFSEG_FAULTS") and item.nodeid.startswith("tests/faults/"):
            item.add_marker(pytest.mark.timeout(0))  # as many are tried as are asked for
    items.sort(key=lambda item: not _takes_long(getattr(item, "module", None)))


def _needs_torch(item):
    """Whether a test asks for the fixture `torch`, or for one of PyTorch's files."""
    parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
    asked = "torch" in getattr(item, "fixturenames", ())
    return asked or any(str(value).endswith(".pth") for value in parameters)


def _takes_long(module):
    if module is None:
        return False
    programs = any(getattr(x, "__module__", None) == "tests.program" for x in vars(module).values())
    return programs or module.__name__.startswith(("tests.training.", "tests.faults."))


def pytest_runtest_setup(item):
    """Skips tests marked `torch` where PyTorch is missing."""
    if TORCH_MISSING and item.get_closest_marker("torch"):
        pytest.skip("needs the extra torch")


@pytest.fixture(scope="session")
def torch():
    """PyTorch."""
    return importlib.import_module("torch")


@pytest.fixture(scope="session")
def real_ct_root():
    """Folder of real CT (layout: see README, Tests); skips, saying why, where there is none."""
    root = os.environ.get("VFSEG_REAL_CT")
    if not root:
        pytest.skip("VFSEG_REAL_CT is not set: no real CT to test on")
    return Path(root)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A workdir with its cases prepared."""
    workdir = tmp_path_factory.mktemp("prepared") / "run"
    finish(start(workdir, "--mode=prepare"), workdir)
    return workdir


@pytest.fixture
def new_run(tmp_path, prepared):
    """Makes workdirs, prepared, by name."""
    return lambda name: copy_of(prepared, tmp_path / name)


@pytest.fixture(scope="module")
def quick_collection():
    """`gc.collect` looks at what the tests of a module made, not at all that was there before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _nothing_left_running():
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.wait()
