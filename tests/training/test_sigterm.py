"""SIGTERM and SIGINT: the state is saved, and the next run goes on to the last bit.

The status is 0 on SIGTERM and 130 on SIGINT, control C.
"""

import signal
import socket
import threading

import pytest

from tests.program import finish, start, start_many, wait_until
from tests.training.outcome import assert_same_training, losses, newest
from vfseg import processes
from vfseg.locks import RUN
from vfseg.training.checkpoints import Checkpoints
from vfseg.training.interrupt import Interrupt

# A checkpoint at the end and before validation only: SIGTERM saves what lies between.
STEPS = ["--config.stages.recurrent=53", "--config.stages.adversarial=0"]
STEPS += ["--config.train.save_every=1000", "--config.train.validate_every=50"]


def _last_loss(workdir):
    return max(losses(workdir), default=0)


def test_stopped_in_a_step_and_in_a_validation_a_run_ends_as_a_straight_one(new_run):
    """The step is ended and saved; the validation is left at once and made up for."""
    straight, workdir = new_run("straight"), new_run("run")
    finish(start(straight, *STEPS), straight)
    process = start(workdir, *STEPS)
    wait_until(lambda: _last_loss(workdir) >= 7, process)
    process.terminate()
    text = finish(process, workdir)
    stopped = newest(workdir)
    assert 7 <= stopped < 50
    assert f"SIGTERM: stopped after step {stopped}" in text
    assert _last_loss(workdir) == stopped
    assert not (workdir / RUN).exists(), "the folder is given back"

    process = start(workdir, *STEPS)
    wait_until(lambda: newest(workdir) == 50, process)
    process.terminate()
    text = finish(process, workdir)
    assert f"resuming at step {stopped}" in text
    assert not (workdir / RUN).exists(), "also by the thread that ends the process"
    assert newest(workdir) == 50
    if "stopped after step 50" not in text:  # else it came while that save was still being noted
        assert "nothing to save" in text
        assert not Checkpoints(workdir / "checkpoints").is_scored(50)

    finish(start(workdir, *STEPS), workdir)
    assert_same_training(workdir, straight)


def test_compiling_is_left_at_once(new_run):
    """Without compiled programs from another run: that takes seconds."""
    workdir = new_run("run")
    process = start(workdir, *STEPS, JAX_ENABLE_COMPILATION_CACHE="false")
    wait_until(
        lambda: "compiling the steps of recurrent" in workdir.with_suffix(".txt").read_text(),
        process,
    )
    process.terminate()
    assert "nothing to save" in finish(process, workdir)
    assert newest(workdir) == 0
    assert not losses(workdir)


SIGNALS = [(signal.SIGTERM, 0), (signal.SIGINT, 130)]


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_between_folds_there_is_nothing_to_save(monkeypatch, number, status):
    """The fold before was saved at its end, at step 10; the next one has not begun."""

    class Left(Exception):
        pass

    def leave(status):
        raise Left(status)

    interrupt = Interrupt()
    for step in (0, 9):
        assert not interrupt.stops_at(step)
    for saved in (10, 0):
        interrupt.saved(saved)
    monkeypatch.setattr(processes, "leave", leave)
    heard, told = socket.socketpair()
    with heard, told:
        told.send(bytes([number]))
        with pytest.raises(Left, match=f"^{status}$"):
            interrupt._hear(heard)


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_validation_that_begins_after_the_signal_is_not_waited_for(monkeypatch, number, status):
    """Two steps lie behind the checkpoint: there is something to save, then validation comes."""
    left, heard_of = threading.Event(), threading.Event()

    def leave(with_status):
        assert with_status == status
        left.set()

    def gather(position, kind, channel):
        assert kind == tuple[int, int]
        heard_of.set()
        return [position]

    interrupt = Interrupt()
    monkeypatch.setattr(processes, "leave", leave)
    monkeypatch.setattr(processes, "gather", gather)
    monkeypatch.setattr("vfseg.training.interrupt._GRACE_SECONDS", 0)
    heard, told = socket.socketpair()
    with heard, told:
        thread = threading.Thread(target=interrupt._hear, args=(heard,))
        thread.start()
        for step in (0, 1):
            assert not interrupt.stops_at(step)
        told.send(bytes([number]))
        assert heard_of.wait(300)
        assert not left.wait(0.5), "step 2 is under way and not saved"
        interrupt.saved(2)
        assert left.wait(300), "validation would go on until somebody stops it"
        thread.join()


def test_all_processes_stop_at_one_step_when_one_is_asked_to(new_run):
    workdir = new_run("run")
    asked = start_many([workdir] * 2, *STEPS)
    wait_until(lambda: _last_loss(workdir) >= 7, asked[0])
    asked[1].terminate()
    for process in asked:
        text = finish(process, workdir)
    assert 7 <= newest(workdir) < 50
    assert f"SIGTERM: stopped after step {newest(workdir)}" in text


@pytest.fixture
def _control_c_is_heard():
    """A program whose parent ignores SIGINT (`nohup`, a background job) ignores it, too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_control_c_is_heard")
def test_control_c_saves_too_and_keeps_its_own_status(new_run):
    """Two processes, of which one is asked: both end with it."""
    workdir = new_run("run")
    asked = start_many([workdir] * 2, *STEPS)
    wait_until(lambda: _last_loss(workdir) >= 7, asked[0])
    asked[1].send_signal(signal.SIGINT)
    for process in asked:
        text = finish(process, workdir, status=130)
    assert 7 <= newest(workdir) < 50
    assert _last_loss(workdir) == newest(workdir)
    said = f"SIGINT: stopped after step {newest(workdir)}, which is saved; the same command"
    assert said in text
