"""A run finds out once what it is made from; a data folder serves runs that agree."""

import json
from dataclasses import replace

import pytest

from tests.cohort import tiny_config, write_store
from tests.synthesis.painted.made_spine import label_map
from vfseg.commands import report as report_mode
from vfseg.commands import workdir as module
from vfseg.commands.memory import claim_data
from vfseg.commands.workdir import Run, beside
from vfseg.crops import prepare
from vfseg.data.cases import Case, write_manifest
from vfseg.data.discovery import is_left_out
from vfseg.data.volume import write_labels
from vfseg.errors import UserError
from vfseg.synthesis.painted import LabelMap, field, find_label_maps


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


def test_a_data_folder_of_before_there_was_a_setting_is_still_shared(tmp_path):
    claim_data(tiny_config(), tmp_path)
    shared = tmp_path / "shared.json"
    values = json.loads(shared.read_text())
    del values["painted"], values["phantom"]["randomised"]
    shared.write_text(json.dumps(values))
    claim_data(tiny_config(), tmp_path)
    with pytest.raises(UserError, match=r"config\.painted\.seed"):
        claim_data(tiny_config(**{"painted.seed": 3}), tmp_path)


def test_painted_cases_train_beside_a_manifest_and_none_of_a_patient_who_does_not(tmp_path):
    def case(patient, split, number=0):
        return Case(f"{patient}_{number}", patient, tmp_path, split=split)

    own = (case("P01", "test"), case("P02", "train"), case("P03", ""), case("verse014", "test"))
    painted = tuple(
        case(patient, "", 1) for patient in ("p1", "P2", "P3", "P4", "sub-verse014", "sub-P02")
    )
    kept, notes = beside(painted, own, ())
    assert [(c.case_id, c.split) for c in kept] == [
        (f"{name}_1", "train") for name in ("P2", "P4", "sub-P02")
    ]
    assert ["'test'" in note for note in notes] == [True, False, True]
    assert all(is_left_out(note) for note in notes)


@pytest.mark.parametrize("split", ["test", "validation", ""])
def test_what_is_painted_from_a_label_map_of_a_case_that_does_not_train_is_left_out(
    tmp_path, split
):
    """Whatever the patient is called: the very file tells, through a link, too."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "v.nii.gz").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "set")
    own = (
        Case("c", "nobody", tmp_path, tmp_path / "set" / "v.nii.gz", split=split),
        Case("d", "trains", tmp_path, tmp_path / "set" / "t.nii.gz", split="train"),
        Case("e", "bare", tmp_path, split=split),
    )
    maps = (
        LabelMap("x", "x", tmp_path / "linked" / "v.nii.gz"),
        LabelMap("y", "y", tmp_path / "linked" / "t.nii.gz"),
        LabelMap("z", "z", tmp_path / "v.nii.gz"),
    )
    painted = tuple(Case(f"{m.name}_painted_000", m.patient_id, tmp_path) for m in maps)
    kept, notes = beside(painted, own, maps)
    assert [c.case_id for c in kept] == ["y_painted_000", "z_painted_000"]
    (note,) = notes
    assert is_left_out(note)
    assert note.startswith("x_painted_000: left out, since the manifest has its label map in ")


def test_label_maps_of_a_manifest_are_painted_for_those_who_train(tmp_path, monkeypatch):
    """The folder of the manifest is that of the label maps: of three, one trains."""
    names = {"a": "train", "b": "test", "c": ""}
    for name in names:
        (tmp_path / f"{name}_vertebrae.nii.gz").touch()
        (tmp_path / f"{name}_ct.nii.gz").touch()
    own = [
        Case(n, f"patient {n}", tmp_path / f"{n}_ct.nii.gz", tmp_path / f"{n}_vertebrae.nii.gz",
             split=split)
        for n, split in names.items()
    ]  # fmt: skip
    write_manifest(tmp_path / "manifest.csv", own)

    def paint(folder, settings):
        made = []
        for m in find_label_maps(settings.label_maps):
            (folder / f"{m.name}.nii.gz").parent.mkdir(parents=True, exist_ok=True)
            (folder / f"{m.name}.nii.gz").touch()
            ct = folder / f"{m.name}.nii.gz"
            made.append(Case(f"{m.name}_painted_000", m.patient_id, ct))
        write_manifest(folder / "manifest.csv", made)
        return folder / "manifest.csv"

    monkeypatch.setattr(module, "make_painted_cohort", paint)
    values = {"manifest": str(tmp_path / "manifest.csv"), "painted.label_maps": str(tmp_path)}
    run = Run(tiny_config(**values), tmp_path / ".run")
    run.workdir.mkdir()
    painted = [c for c in run.found.cases if "_painted_" in c.case_id]
    assert [(c.case_id, c.split) for c in painted] == [("a_painted_000", "train")]
    assert run.standing_cases() == run.found.cases
    held = Run(run.config, run.workdir, split_of={"patient a": "test", "patient b": "train"})
    painted = [c for c in held.found.cases if "_painted_" in c.case_id]
    assert [c.case_id for c in painted] == ["b_painted_000"]


def test_virtual_fractures_painted_cases_and_phantoms_make_one_run(tmp_path, monkeypatch):
    """As a model to pass on is trained: what is tested and validated of CTs is virtual fractures.

    Painted cases train only, and phantoms have no part in the test.
    """
    names = ("a", "b", "c")
    own = [Case(n, f"patient {n}", tmp_path / f"{n}.nii.gz") for n in names]
    for path in (*(case.ct for case in own), tmp_path / "maps" / "m_vertebrae.nii.gz"):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    write_manifest(tmp_path / "manifest.csv", own)

    def maker(*cases):
        def make(folder, *_):
            folder.mkdir(parents=True)
            for case in cases:
                (folder / case.ct.name).touch()
            write_manifest(
                folder / "manifest.csv", [replace(c, ct=folder / c.ct.name) for c in cases]
            )
            return folder / "manifest.csv"

        return make

    virtual = maker(*(replace(case, case_id=f"{case.case_id}_000") for case in own))
    monkeypatch.setattr(module, "make_virtual_cohort", lambda _, folder, *rest: virtual(folder))
    painted = Case("m_painted_000", "m", tmp_path / "m.nii.gz")
    monkeypatch.setattr(module, "make_painted_cohort", maker(painted))
    splits = ("train", "validation", "test")
    phantoms = (Case(f"{s}_000", f"{s}_000", tmp_path / f"{s}.nii.gz", split=s) for s in splits)
    monkeypatch.setattr(module, "make_cohort", maker(*phantoms))
    values = {
        "manifest": str(tmp_path / "manifest.csv"),
        "add_phantoms": True,
        "virtual_fractures.variants": 1,
        "painted.label_maps": str(tmp_path / "maps"),
    }
    split_of = {f"patient {name}": split for name, split in zip(names, splits)}
    run = Run(tiny_config(**values), tmp_path / "run", split_of=split_of)
    assert {case.case_id: case.split for case in run.found.cases} == {
        "a_000": "train",
        "b_000": "validation",
        "c_000": "test",
        "m_painted_000": "train",
        "train_000": "train",
        "validation_000": "validation",
    }
    assert run.standing_cases() == run.found.cases


def test_a_run_paints_its_cases_from_label_maps(tmp_path, monkeypatch):
    monkeypatch.setattr(field, "IN_PLANE_MM", (1.5, 1.6))
    monkeypatch.setattr(field, "SLICE_MM", (2.5, 3.0))
    made = label_map(spacing=(2.0, 1.6, 1.6))
    for patient in ("one", "two"):
        write_labels(tmp_path / "maps" / f"{patient}_vertebrae.nii.gz", made.array, made.geometry)
    values = {"painted.label_maps": str(tmp_path / "maps"), "painted.variants": 1}
    run = Run(tiny_config(**values), tmp_path / "run")
    run.workdir.mkdir()
    assert [(c.case_id, c.patient_id, c.split) for c in run.found.cases] == [
        ("one_painted_000", "one", ""),
        ("two_painted_000", "two", ""),
    ]
    assert run.standing_cases() == run.found.cases
    assert not (run.workdir / "cohort").exists()  # no phantoms unless asked for


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
