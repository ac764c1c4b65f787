"""Functions called in processes of their own: arguments, results, failures."""

import json
import os

import pytest

from benchmarks import workers


def report(text, number):
    """What the other process is given and is."""
    print("said by the way")
    return {"process": os.getpid(), "given": [text, number]}


def fail():
    raise ValueError("broken")


def test_a_function_runs_in_another_process(capfd):
    found = workers.call(__name__, "report", "ä b", 2)
    assert found["given"] == ["ä b", 2]
    assert found["process"] != os.getpid()
    assert capfd.readouterr().out == "said by the way\n"


def test_a_failure_is_told_with_what_was_written():
    with pytest.raises(SystemExit, match=r"fail\(\) failed:(.|\n)*ValueError: broken"):
        workers.call(__name__, "fail")


def test_the_command_line_names_function_and_arguments():
    *_, module, function, arguments = workers.command("a.b", "f", 1, "", True)
    assert (module, function, json.loads(arguments)) == ("a.b", "f", [1, "", True])


def test_every_round_makes_each_call_once_in_another_order(monkeypatch, capsys):
    made = []

    def call(module, function, *arguments):
        made.append((module, function, *arguments))
        return {"seconds": float(len(made))}

    monkeypatch.setattr(workers, "call", call)
    calls = {name: workers.Call("m", name, (1,)) for name in ("a", "b", "c")}
    found = workers.by_turns(calls, 2)
    assert made == [("m", name, 1) for name in ("a", "b", "c", "b", "c", "a")]
    assert found == {
        "a": [{"seconds": 1.0}, {"seconds": 6.0}],
        "b": [{"seconds": 2.0}, {"seconds": 4.0}],
        "c": [{"seconds": 3.0}, {"seconds": 5.0}],
    }
    assert capsys.readouterr().out.splitlines()[3] == "b: {'seconds': 4.0}"
