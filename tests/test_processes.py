"""Several processes on loopback make the run that one makes, and end together."""

import inspect
import os
import re
import socket
import subprocess
import sys
from unittest.mock import MagicMock

import jax
import numpy as np
import pytest
from jaxlib import _jax

from tests.cohort import ROOT
from tests.program import LONGEST, STARTED, finish, start, start_many, wait_until
from tests.training.outcome import final_state, losses, newest
from vfseg import processes
from vfseg.messages import to_bytes

# From the first step on with the discriminator: there is one program to compile in each process.
STEPS = ["--config.stages.recurrent=0", "--config.stages.adversarial=8"]
STEPS += ["--config.train.save_every=2", "--config.train.validate_every=4"]


def test_two_processes_follow_one_and_one_goes_on_from_two(new_run):
    """The pair is killed half way, and one process takes over.

    Losses agree to 1e-5 (relative) while there are two; to 1e-4 at the end, since Adam amplifies
    what rounding made of the first steps from step to step.
    """
    one, two = new_run("one"), new_run("two")
    alone = {"JAX_NUM_CPU_DEVICES": "1"}
    finish(start(one, *STEPS, **alone), one)
    pair = start_many([two] * 2, *STEPS, JAX_NUM_CPU_DEVICES="2")
    wait_until(lambda: newest(two) >= 4, pair[0])
    for process in pair:
        process.kill()
        process.wait()
    taken_over = newest(two)
    expected = losses(one)
    by_two = {step: loss for step, loss in losses(two).items() if step <= taken_over}
    assert list(by_two) == list(range(1, taken_over + 1))
    difference = max(abs(loss / expected[step] - 1) for step, loss in by_two.items())
    print(f"\nlosses of two processes differ by {difference:.1e} (relative) in {taken_over} steps")
    assert difference < 1e-5

    assert f"resuming at step {taken_over}" in finish(start(two, *STEPS, **alone), two)
    (state_one, next_one), (state_two, next_two) = final_state(one), final_state(two)
    assert next_two == next_one == 8 * 4, "nothing seen twice, nothing skipped"
    assert list(losses(two)) == list(expected)
    difference = max(abs(loss / expected[step] - 1) for step, loss in losses(two).items())
    print(f"continued on one process, losses differ by {difference:.1e} after 8 steps", end="")
    assert difference < 1e-4
    np.testing.assert_array_equal(state_two.key_data, state_one.key_data)


def test_who_does_not_see_the_workdir_says_so_and_nobody_waits_for_it(new_run, tmp_path):
    seen, unseen = new_run("seen"), tmp_path / "elsewhere"
    pair = start_many([seen, unseen], *STEPS)
    message = "process 1 does not see what process 0 wrote there"
    assert message in finish(pair[1], unseen, status=2)
    assert f"process 1 ended: {unseen}: {message}" in finish(pair[0], seen, status=2)


def test_what_all_processes_find_wrong_ends_all(new_run):
    workdir = new_run("run")
    for process in start_many([workdir] * 2, *STEPS, "--config.parallel=pmap"):
        text = finish(process, workdir, status=2)
    assert "Run several with config.parallel=jit" in text
    assert "Traceback" not in text


def test_a_killed_process_is_missed(new_run):
    workdir = new_run("run")
    many = [*STEPS, "--config.stages.recurrent=100000", "--config.stages.adversarial=0"]
    first, second = start_many([workdir] * 2, *many)
    wait_until(lambda: newest(workdir) >= 4, first)
    second.kill()
    second.wait()
    assert first.wait(LONGEST) not in (0, 2)
    assert newest(workdir) >= 4


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--processes=2"], "--coordinator, --process is missing"),
        (["--distributed", "--process=0"], "leave out"),
        (["--distributed"], "the processes could not be joined"),
    ],
)
def test_flags_that_do_not_fit_are_answered(tmp_path, flags, said):
    workdir = tmp_path / "run"
    assert said in finish(start(workdir, *flags), workdir, status=2)


def test_folds_are_shared_out_among_processes_that_work_apart(tmp_path):
    """Two tasks of SLURM, in workdirs that tell who did what: a fold each, trained on alone.

    Both begin at once with an empty data folder: they make and prepare one cohort.
    """
    tasks, data = [tmp_path / "task0", tmp_path / "task1"], tmp_path / "data"
    flags = ["--distributed", "--folds", "--config.split.folds=2", "--config.stages.adversarial=0"]
    flags.append(f"--data={data}")
    job = str(os.getpid())  # from which JAX takes the port
    slurm = {"SLURM_JOB_ID": job, "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": "2"}
    slurm |= {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "1"}
    started = [
        start(task, *flags, **slurm, SLURM_PROCID=number, SLURM_LOCALID=number)
        for number, task in zip("01", tasks, strict=True)
    ]
    for process, task in zip(started, tasks, strict=True):
        finish(process, task)
    assert [path.name for task in tasks for path in task.iterdir()] == ["fold-0", "fold-1"]
    folds = [tasks[0] / "fold-0", tasks[1] / "fold-1"]
    assert [newest(fold) for fold in folds] == [2, 2]
    first, second = (losses(fold) for fold in folds)
    assert list(first) == list(second) == [1, 2]
    assert first != second, "on other cases"
    assert (folds[0] / "splits.csv").read_text() == (folds[1] / "splits.csv").read_text()
    assert (data / "cohort" / "manifest.csv").exists()
    assert {path.name for path in (data / "store").iterdir()} >= {"train_000", "test_000"}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "say how many there are"),
        (["--config.split.folds=2", "--mode=audit"], "goes with --mode run, prepare"),
        (["--config.split.folds=2", "--coordinator=localhost:1"], "goes without --coordinator"),
        (["--config.split.folds=2", "--processes=2", "--process=2"], "expected 0 to 1"),
    ],
)
def test_folds_that_cannot_be_shared_out_are_answered(tmp_path, flags, said):
    workdir = tmp_path / "run"
    assert said in finish(start(workdir, "--folds", *flags), workdir, status=2)


def test_alone_a_process_has_all_the_work():
    assert (processes.index(), processes.count(), processes.is_first()) == (0, 1, True)
    assert processes.share([1, 2, 3]) == [1, 2, 3]
    assert processes.gather("mine", str) == ["mine"]
    assert processes.from_first(lambda: 5, int) == 5


_ALONE = """
import sys
from vfseg import processes
from vfseg.messages import to_bytes
processes.join(*((sys.argv[1], 1, 0) if sys.argv[1:] else (None, None, None)))
print(processes.count(), flush=True)
sys.stdin.read()
processes.leave(0)
"""


CLUSTER = {
    **{"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "1"},
    **{"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "JAX_COORDINATOR_PORT": "{port}"},
}


@pytest.mark.parametrize(
    "also", [{}, {"JAX_COORDINATOR_BIND_ADDRESS": "[::]:{port}"}, CLUSTER], ids=["", "all", "slurm"]
)
def test_process_0_listens_at_the_address_that_was_named_and_at_no_other(also):
    """127.0.0.2 is an address of every Linux machine, too; with the variable it is listened at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, **{n: value.format(port=port) for n, value in also.items()}}
    process = subprocess.Popen(
        [sys.executable, "-c", _ALONE, *([] if also is CLUSTER else [f"127.0.0.1:{port}"])],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    assert process.stdout.readline() == "1\n"
    socket.create_connection(("127.0.0.1", port), 60).close()
    if "JAX_COORDINATOR_BIND_ADDRESS" in also:
        socket.create_connection(("127.0.0.2", port), 60).close()
    else:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 60)
    process.communicate("")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("addresses", "listens"), [(["127.0.1.1"], None), (["10.0.0.7", "127.0.1.1"], "node7:8476")]
)
def test_a_host_that_calls_itself_a_loopback_address_is_left_to_jax(
    monkeypatch, addresses, listens
):
    """Others could not reach it there."""
    found = [(None, None, None, "", (address, 0)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, _: found)
    monkeypatch.delenv("JAX_COORDINATOR_BIND_ADDRESS", raising=False)
    asked = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_, **named: asked.update(named))
    monkeypatch.setattr(processes.threading, "Thread", MagicMock())
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    processes.join("node7:8476", 2, 0)
    assert asked["coordinator_bind_address"] == listens


def test_the_part_of_jax_that_has_no_public_name_is_as_it_was():
    """`processes` asks it who is who, and uses its store of keys: JAX has no public name for them.

    Where this fails, a new JAX moved them: find them anew, in `processes` alone, or lower the bound
    of jax in pyproject.toml to the last version that has them.
    """
    state = processes.distributed.global_state
    assert {"process_id", "num_processes", "client"} <= set(dir(state))
    used = re.findall(r"_client\(\)\.(\w+)", inspect.getsource(processes))
    assert len(set(used)) >= 5
    assert set(used) <= set(dir(_jax.DistributedRuntimeClient))
    detected = inspect.signature(processes.clusters.ClusterEnv.auto_detect_unset_distributed_params)
    assert len(detected.parameters) == 6
    assert next(iter(detected.parameters)) == "coordinator_address"
    accepted = inspect.signature(jax.distributed.initialize).parameters
    assert {"coordinator_bind_address", "heartbeat_timeout_seconds"} <= set(accepted)


def test_what_another_process_says_is_read_up_to_the_largest_message(monkeypatch):
    store = {}

    class Client:
        key_value_set_bytes = staticmethod(store.__setitem__)
        blocking_key_value_get_bytes = staticmethod(lambda key, _: store[key])
        blocking_key_value_get = staticmethod(lambda key, _: store[key])

        @staticmethod
        def key_value_set(key, text, allow_overwrite):
            store[key] = text

    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "_client", Client)
    store |= {"vfseg/scores/1/0": to_bytes("theirs"), "vfseg/scores/1/parts": "1"}
    assert processes.gather("mine", str, "scores") == ["mine", "theirs"]
    store["vfseg/scores/1/parts"] = str(2**40)
    with pytest.raises(ValueError, match=r"process 1 in \d+ parts"):
        processes.gather("mine", str, "scores")


def test_no_other_module_asks_for_what_jax_calls_private():
    asks = [p.name for p in (ROOT / "vfseg").rglob("*.py") if "jax._src" in p.read_text()]
    assert asks == ["processes.py"]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_work_is_shared_out_once(monkeypatch, count):
    items, shares = list(range(5)), []
    monkeypatch.setattr(processes, "count", lambda: count)
    for index in range(count):
        monkeypatch.setattr(processes, "index", lambda: index)  # noqa: B023
        shares += processes.share(items)
    assert sorted(shares) == items
