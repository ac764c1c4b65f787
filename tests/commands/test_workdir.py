"""A run finds out once what it is made from; a data folder serves runs that agree."""

import pytest

from tests.cohort import tiny_config, write_store
from vfseg.commands import report as report_mode
from vfseg.commands import workdir as module
from vfseg.commands.memory import claim_data
from vfseg.commands.workdir import Run
from vfseg.crops import prepare
from vfseg.data.cases import Case
from vfseg.errors import UserError


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """A run whose cases are on no disk; counts how often they are looked for and prepared."""
    config = tiny_config()
    records = write_store(tmp_path / "store", config, cases=3)
    calls = []

    def find(path):
        calls.append("find")
        splits = ("train", "validation", "test")
        return tuple(
            Case(r.case_id, r.patient_id, path, split=s) for r, s in zip(records, splits)
        ), ()

    def prepare_cases(cases, settings, store):
        calls.append("prepare")
        return tuple(records), ()

    monkeypatch.setattr(module, "find_cases", find)
    monkeypatch.setattr(module, "make_cohort", lambda folder, settings: folder / "manifest.csv")
    monkeypatch.setattr(module, "prepare_cases", prepare_cases)
    return Run(config, tmp_path), calls


def test_cases_are_found_and_prepared_once(counted):
    run, calls = counted
    for split in ("train", "validation", "test"):
        (record,) = run.records(split)
        assert record in run.prepared.records[split]
    run.data_hash("train")
    assert run.found.cases == run.prepared.cases
    assert calls == ["find", "prepare"]


def test_a_split_without_cases_is_named(counted):
    run, _ = counted
    run.prepared.records["test"] = ()
    with pytest.raises(UserError, match="no usable case in the split 'test'"):
        run.records("test")


def test_runs_with_the_same_cases_share_a_data_folder(tmp_path):
    claim_data(tiny_config(), tmp_path)
    claim_data(tiny_config(**{"seed": 5, "train.log_every": 7, "split.folds": 3}), tmp_path)
    with pytest.raises(UserError, match=r"other settings \(config\.prepare\.voxel_spacing\)"):
        claim_data(tiny_config(**{"prepare.voxel_spacing": 2.0}), tmp_path)
    with pytest.raises(UserError, match=r"config\.phantom\.seed.* --data"):
        claim_data(tiny_config(**{"phantom.seed": 5}), tmp_path)


@pytest.mark.parametrize("of_a_run", ["config.json", "splits.csv", "checkpoints"])
def test_the_workdir_of_another_run_is_no_data_folder(counted, tmp_path, of_a_run):
    run, calls = counted
    (tmp_path / "other" / of_a_run).mkdir(parents=True)
    with pytest.raises(UserError, match=f"--data .*other: the workdir of another run.*{of_a_run}"):
        _ = Run(run.config, tmp_path / "mine", tmp_path / "other").found
    assert not calls
    assert [path.name for path in (tmp_path / "other").iterdir()] == [of_a_run]
    # Its own workdir is none of another, and folds lie in the folder that they share.
    for workdir in (tmp_path / "other", tmp_path / "other" / "fold-0"):
        assert Run(run.config, workdir, tmp_path / "mine" / ".." / "other").found.cases
        assert Run(run.config, workdir, tmp_path / "other").found.cases


def test_a_run_in_the_folder_that_others_share_has_their_cases(counted, tmp_path):
    """With other settings it would make them anew, under the runs that read them."""
    run, calls = counted
    claim_data(run.config, tmp_path / "data")
    assert Run(run.config, tmp_path / "data").found.cases
    calls.clear()
    other = tiny_config(**{"prepare.voxel_spacing": 2.0})
    with pytest.raises(UserError, match=r"other settings .*voxel_spacing.* another --workdir"):
        _ = Run(other, tmp_path / "data").found
    assert not calls


def test_a_report_reads_no_ct_to_know_whether_it_changed(counted, monkeypatch, tmp_path):
    """The page is drawn of what was evaluated: cases are looked up, not hashed nor prepared."""
    run, calls = counted
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "summary.json").write_text(
        '{"synthetic": true, "threshold": {"value": 0.5, "chosen_on": "validation"}}'
    )
    monkeypatch.setattr(prepare, "case_fingerprint", lambda *_: pytest.fail("a CT was hashed"))
    monkeypatch.setattr(report_mode, "write_page", lambda workdir, pictures: workdir / "page")
    monkeypatch.setattr(report_mode, "print_results", lambda summary, page: None)
    report_mode.report(run)
    assert calls == ["find"]
