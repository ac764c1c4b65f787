"""Whole runs that are killed, find the disk full, meet each other, or find their files damaged.

Each moment is chosen by counting (see `moments.c`), and each file by its name. The short form takes
a few of them; `VFSEG_FAULTS=100 pytest -n0 -s tests/faults/test_runs.py` takes up to 100 of each
kind and job, spread evenly, and prints how they ended. A failure says how to try its case alone.
"""

import os
import platform
import re
import shutil
import signal
from collections import Counter

import pytest

from tests.faults.damage import COMMANDS, damages
from tests.faults.programs import STOPPED, Programs, said_in
from tests.faults.whole_run import JOBS, differences, outcome, straight_run

TRIALS = int(os.environ.get("VFSEG_FAULTS", "0"))
ONE = os.environ.get("VFSEG_FAULT", "")
"""One case to try alone, as a failure names it."""

pytestmark = [
    pytest.mark.skipif(
        platform.system() != "Linux" or not (shutil.which("cc") or shutil.which("gcc")),
        reason="needs Linux and a C compiler (for moments.c)",
    ),
    # Where one read of a damaged checkpoint fails, Orbax abandons the others, which complain.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    programs = Programs(tmp_path_factory.mktemp("programs"))
    yield programs
    programs.close()


@pytest.fixture(scope="module")
def jobs(programs, tmp_path_factory):
    """The jobs of a straight run, and what each of them leaves."""
    names = JOBS if TRIALS else JOBS[:3]  # the short form leaves `predict` out
    jobs = straight_run(programs, tmp_path_factory.mktemp("straight"), names)
    return {name: (job, outcome(job.after)) for name, job in jobs.items()}


def named(short):
    """The jobs of which any case is tried; the short form leaves some out."""
    return [name for name, count in short.items() if count or TRIALS]


def spread(total, short):
    """So many numbers below a total as are tried, spread evenly."""
    count = min(total, TRIALS or short)
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]


def tried(name, cases, attempt):
    """Tries cases, prints how they ended, and fails where one ended in any other way.

    Args:
        name: of the test.
        cases: what tells them apart.
        attempt: case -> "right", "clear message", or anything else, which is wrong.
    """
    ends, wrong = Counter(), []
    for case in cases:
        label = f"{name} {case}"
        if ONE and label != ONE:
            continue
        end = attempt(case)
        known = end in ("right", "clear message")
        ends[end if known else "anything else"] += 1
        if not known:
            wrong.append(f"VFSEG_FAULT='{label}': {end}")
    print(f"{name}: tried {ends.total()}, {dict(ends)}")
    assert not wrong, "\n".join(
        ["Set the variable as in a line, and the others as now, to try it alone.", *wrong]
    )


def clear_message(text):
    """Whether a program that ended with status 2 said why, once and without a traceback."""
    return len(re.findall(r"^vfseg: ", text, re.MULTILINE)) == 1 and "Traceback" not in text


def struck(programs, job, where, **how):
    """Runs a job that something befalls, as `programs.run` has it: folder, status, what it said."""
    folder = job.begun(where / "run")
    status = programs.run(job.arguments(folder), folder, **how)
    return folder, status, said_in(folder)


def goes_on(programs, job, wanted, folder):
    """Gives the same command again: "right" where it leaves what a straight run leaves.

    The folder is gone afterwards, where the command came to its end.
    """
    status = programs.run(job.arguments(folder), folder)
    text = said_in(folder)
    if status != 0:
        return f"the same command ends with {status}: {text[-1500:]}"
    wrong = differences(folder, wanted)
    shutil.rmtree(folder.parent)
    return f"not as a straight run: {wrong}" if wrong else "right"


KILLS = {"prepare": 0, "train": 0, "run": 1, "predict": 0}


@pytest.mark.parametrize("name", named(KILLS))
def test_a_run_killed_at_any_moment_goes_on_as_if_it_had_not_been(name, programs, jobs, tmp_path):
    """Before and after each renaming and each syncing, also of TensorStore and Orbax."""
    job, wanted = jobs[name]

    def attempt(moment):
        folder, status, text = struck(programs, job, tmp_path / str(moment), at=moment)
        if status not in (-signal.SIGKILL, 0):  # 0: this time there were fewer moments
            return f"ends with {status}: {text[-1500:]}"
        return goes_on(programs, job, wanted, folder)

    tried(f"killed in {name} at moment", spread(job.counts.moments, KILLS[name]), attempt)


FULL = {"prepare": 1, "train": 0, "run": 0, "predict": 0}


@pytest.mark.parametrize("name", named(FULL))
def test_a_disk_that_is_full_at_any_size_is_one_message(name, programs, jobs, tmp_path):
    """And nothing is lost: with room again the same command goes on."""
    job, wanted = jobs[name]

    def attempt(room):
        folder, status, text = struck(programs, job, tmp_path / str(room), room=room)
        if status not in (2, 0) or (status == 2 and not clear_message(text)):
            return f"ends with {status}: {text[-1500:]}"
        if status == 0 and (wrong := differences(folder, wanted)):
            return f"ends with 0, and {wrong} are not as in a straight run"
        end = goes_on(programs, job, wanted, folder)
        return "clear message" if status == 2 and end == "right" else end

    tried(f"full disk in {name} after bytes", spread(job.counts.bytes, FULL[name]), attempt)


MEETINGS = {"prepare": 1, "train": 0, "run": 0, "predict": 0}


@pytest.mark.parametrize("name", named(MEETINGS))
def test_of_two_runs_at_once_one_works_and_the_other_is_told(name, programs, jobs, tmp_path):
    """The second begins while the first stands still, which goes on at once or after its end."""
    job, wanted = jobs[name]

    def attempt(moment):
        folder = job.begun(tmp_path / str(moment) / "run")
        arguments, number = job.arguments(folder), signal.SIGSTOP
        first = programs.start(arguments, folder, number=number, at=moment)
        ends = [programs.wait(first)]
        second = programs.start(arguments, folder)
        if moment % 2:
            ends.append(programs.wait(second))
        if ends[0] == STOPPED:
            os.kill(first, signal.SIGCONT)
            ends[0] = programs.wait(first)
        if len(ends) == 1:
            ends.append(programs.wait(second))
        text = said_in(folder)
        refused = ends.count(2)
        if set(ends) - {0, 2} or refused > 1 or (refused and not clear_message(text)):
            return f"first and second end with {ends}: {text[-1500:]}"
        if refused and "another run works here" not in text:
            return f"the other one is not named: {text[-1500:]}"
        wrong = differences(folder, wanted)
        shutil.rmtree(tmp_path / str(moment))
        return f"not as a straight run: {wrong}" if wrong else "right"

    moments = spread(job.counts.moments, MEETINGS[name])
    tried(f"two at once that {name}, at moment", moments, attempt)


DAMAGED = {"train": 0, "evaluate": 0, "report": 0, "run": 1}


@pytest.mark.parametrize("name", named(DAMAGED))
def test_a_damaged_file_of_a_finished_run_is_mended_or_named(name, programs, jobs, tmp_path):
    """Whichever file, and whatever happened to it: no traceback, and no other result."""
    whole, wanted = jobs["run"]
    command, begun = COMMANDS[name], tmp_path / "begun" / "run"
    shutil.copytree(whole.after, begun)
    command.begin(begun)

    def attempt(case):
        folder = tmp_path / "damaged" / "run"
        shutil.copytree(begun, folder)
        every[case](folder)
        status = programs.run(command.arguments(folder), folder)
        text = said_in(folder)
        end = "clear message"
        if status == 0:
            wrong = command.results(differences(folder, wanted))
            end = f"ends with 0, and {wrong} are not as before" if wrong else "right"
        elif status != 2 or not clear_message(text):
            end = f"ends with {status}: {text[-1500:]}"
        shutil.rmtree(folder.parent)
        return end

    every = damages(begun)
    cases = list(every)
    chosen = [cases[number] for number in spread(len(cases), DAMAGED[name])]
    tried(f"{name} with a file", [ONE.partition(" with a file ")[2]] if ONE else chosen, attempt)
