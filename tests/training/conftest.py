"""A prepared workdir and compiled programs, made once for all tests of real processes."""

import pytest

from tests.training.program import STARTED, copy_of, finish, start


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A workdir with its cases prepared."""
    workdir = tmp_path_factory.mktemp("prepared") / "run"
    finish(start(workdir, "--mode=prepare"), workdir)
    return workdir


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Environment in which a program is compiled once."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


@pytest.fixture(autouse=True)
def _nothing_left_running():
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.wait()


@pytest.fixture
def new_run(tmp_path, prepared):
    """Makes workdirs, prepared, by name."""
    return lambda name: copy_of(prepared, tmp_path / name)
