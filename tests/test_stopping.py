"""SIGTERM and SIGINT end after the case at hand, with a status and a message that are true."""

import os
import signal

import pytest

from vfseg.stopping import STOPPING, Stop, Stopped


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_case_at_hand_is_finished_first(number, status, capfd):
    stop, done = Stop(), []
    with stop.listening():
        for case in range(5):
            if case:
                done_now = f"{len(done)} of 5 are kept."
                if case == 3:
                    with pytest.raises(Stopped, match=f"{number.name}: stopped. 3 of 5") as caught:
                        stop.after_case(done_now)
                    break
                stop.after_case(done_now)
            if case == 2:
                os.kill(os.getpid(), number)
                assert stop.asked
            done.append(case)
    assert caught.value.status == status
    assert done == [0, 1, 2]
    assert capfd.readouterr().err == f"vfseg: {number.name}: ends after this case; again: at once\n"


def test_a_second_control_c_does_not_wait():
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_afterwards_signals_mean_what_they_meant():
    before = [signal.getsignal(number) for number in STOPPING]
    stop = Stop()
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in STOPPING] == before
    assert not stop.asked
    stop.after_case("never said")


def test_what_is_ignored_on_purpose_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stop = Stop()
        with stop.listening():
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop.asked
    finally:
        signal.signal(signal.SIGINT, before)
