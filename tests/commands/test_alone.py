"""A workdir, or the output of a prediction, is one run's alone in every mode that writes to it."""

import os
import re
import sys

import pytest
from absl.testing import flagsaver

from tests.cohort import ROOT, tiny_config
from tests.program import vfseg
from vfseg import main as program
from vfseg import processes
from vfseg.commands import flags
from vfseg.commands.predict import Request, predict
from vfseg.commands.workdir import Run, alone_in
from vfseg.errors import UserError
from vfseg.json_files import write_json
from vfseg.locks import RUN, kept_for_run
from vfseg.training.interrupt import INTERRUPT

TINY = "--config=configs/quickstart.py:tiny"
REFUSED = rf"another run works here \(host .*, process {os.getpid()}, since 20.*Wait for its end"


@pytest.fixture
def parsed(monkeypatch):
    """The command line of this process, for a test alone."""
    saved = flagsaver.save_flag_values(flags.FLAGS)
    monkeypatch.setattr(INTERRUPT, "listen", lambda: None)
    yield flags.parse
    flagsaver.restore_flag_values(saved, flags.FLAGS)


@pytest.mark.parametrize("mode", flags.RUN_MODES)
def test_a_second_run_is_refused_in_every_mode(tmp_path, parsed, mode):
    """And touches nothing: what the first one has not finished yet stays."""
    parsed(["vfseg", TINY, f"--workdir={tmp_path}", f"--mode={mode}"])
    (tmp_path / ".splits.csv.1.part").write_text("being written")
    with kept_for_run(tmp_path):
        before = sorted(path.name for path in tmp_path.iterdir())
        with pytest.raises(UserError, match=REFUSED):
            program._dispatch()
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert (tmp_path / RUN).read_text() != ""


@pytest.mark.parametrize(
    "words",
    [
        *(f"--mode={mode}" for mode in flags.RUN_MODES),
        "--mode=prepare --data=in/data",
        *(
            f"--mode={mode} --folds --config.split.folds=2"
            for mode in ("run", "prepare", "train", "evaluate", "report")
        ),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, parsed, monkeypatch, words):
    """Neither a folder nor a note for whom it was to be: the mended command is the first one."""
    monkeypatch.chdir(tmp_path)
    given = [f"--config={ROOT / 'configs' / 'quickstart.py'}:tiny", "--config.manifest=none.csv"]
    monkeypatch.setattr(sys, "argv", ["vfseg", *given, *words.split()])
    parsed(sys.argv)
    with pytest.raises(UserError):
        program._dispatch()
    assert not list(tmp_path.iterdir())


def test_folds_are_runs_of_their_own(tmp_path, parsed, monkeypatch):
    """Each fold is kept while it is worked on, and the workdir of all is free for the others."""
    arguments = [TINY, f"--workdir={tmp_path}", "--mode=prepare", "--config.split.folds=2"]
    monkeypatch.setattr(sys, "argv", ["vfseg", *arguments, "--folds"])  # overrides come from there
    parsed(sys.argv)
    kept = []

    def watched(self):
        for folder in (tmp_path, self.workdir):
            try:
                with kept_for_run(folder):
                    pass
            except UserError:
                kept.append(folder.name)
        raise UserError("seen")

    monkeypatch.setattr(Run, "prepared", property(watched))
    with pytest.raises(UserError, match="seen"):
        program._dispatch()
    assert kept == ["fold-0"]


def test_a_second_prediction_into_the_same_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("vfseg.commands.predict.cases_of", lambda request: ((), True))
    request = Request(input=tmp_path / "ct.nii.gz", output=tmp_path / "out")
    with kept_for_run(request.output), pytest.raises(UserError, match=REFUSED):
        predict(request)
    predict(request)


def test_the_program_says_so_and_ends_with_status_2(tmp_path):
    workdir = tmp_path / "run"
    with kept_for_run(workdir):
        said = vfseg(TINY, "--workdir", workdir, "--mode", "report", status=2)
    assert re.search(REFUSED, said)
    assert said.count("vfseg: ") == 1


def test_what_killed_runs_left_is_swept_from_all_that_a_run_writes(tmp_path):
    names = (".splits.csv.7.part", "predictions/a/.mask.nii.gz.7.part", "report/.index.html.7.part")
    names += ("evaluation/.summary.json.7.part", "audit/.index.html.7.part", "model/.x.7.part")
    others = ("splits.csv", "predictions/a/mask.nii.gz", "mine/.x.7.part")
    for name in names + others:
        write_json(tmp_path / name, 0)
    with Run(tiny_config(), tmp_path).alone():
        left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {*others, RUN}


def test_of_several_processes_the_first_keeps_the_folder_for_all(tmp_path, monkeypatch):
    """The others wait until it has it; it waits until they are done."""
    events = []
    monkeypatch.setattr(processes, "wait", lambda: events.append((tmp_path / RUN).exists()))
    monkeypatch.setattr(processes, "is_first", lambda: False)
    with alone_in(tmp_path):
        assert not (tmp_path / RUN).exists()
    monkeypatch.setattr(processes, "is_first", lambda: True)
    with alone_in(tmp_path), pytest.raises(UserError, match=REFUSED):
        kept_for_run(tmp_path).__enter__()
    assert events == [False, False, True, True]
    with kept_for_run(tmp_path):
        pass
