"""Cases are prepared once, side by side, and one bad case costs no other."""

import dataclasses
import gzip
import itertools
import os
import signal
import threading

import pytest

from tests.crops.two_vertebrae import SETTINGS, sheet, write_files
from vfseg.crops import prepare
from vfseg.crops.prepare import fingerprint_of, prepare_cases
from vfseg.crops.store import CaseArrays, read_record
from vfseg.data.cases import Case
from vfseg.errors import UserError
from vfseg.stopping import STOP, Stopped


@pytest.fixture
def cohort(tmp_path):
    return [write_files(tmp_path / name, fractures=sheet(20))[0] for name in ("a", "b", "c")]


@pytest.fixture
def cut_ids(monkeypatch):
    """Ids of the cases that are really cut, in any order."""
    seen, genuine = [], prepare.cut_case

    def counted(case, *args):
        seen.append(case.case_id)
        return genuine(case, *args)

    monkeypatch.setattr(prepare, "cut_case", counted)
    return seen


def test_a_second_run_does_nothing_and_a_changed_case_is_redone_alone(tmp_path, cohort, cut_ids):
    store = tmp_path / "store"
    first, left_out = prepare_cases(cohort, SETTINGS, store)
    assert [record.case_id for record in first] == ["a", "b", "c"]
    assert left_out == ()
    assert sorted(cut_ids) == ["a", "b", "c"]
    assert prepare_cases(cohort, SETTINGS, store) == (first, ())
    assert len(cut_ids) == 3
    write_files(tmp_path / "b", fractures=sheet(21))
    second, _ = prepare_cases(cohort, SETTINGS, store)
    assert cut_ids[3:] == ["b"]
    assert (second[0], second[2]) == (first[0], first[2])
    assert [crop.fracture_voxels > 0 for crop in first[1].crops] == [True, False]
    assert [crop.fracture_voxels > 0 for crop in second[1].crops] == [False, True]
    prepare_cases(cohort, dataclasses.replace(SETTINGS, voxel_spacing=3.0), store)
    assert sorted(cut_ids[4:]) == ["a", "b", "c"]


def test_the_split_is_no_reason_to_prepare_again(cohort):
    before = fingerprint_of(cohort[0], SETTINGS)
    assert fingerprint_of(dataclasses.replace(cohort[0], split="test"), SETTINGS) == before
    assert fingerprint_of(dataclasses.replace(cohort[0], patient_id="p"), SETTINGS) != before
    assert fingerprint_of(dataclasses.replace(cohort[0], fractures=None), SETTINGS) != before


def test_an_interrupted_run_continues(tmp_path, cohort, cut_ids, monkeypatch):
    """Stopped while the second case is written: the first stands, and is not cut again."""
    genuine = prepare.write_case

    def stopped(store, record, arrays):
        if record.case_id == "b":
            (store / ".b.1.part" / "ct").mkdir(parents=True)  # what a killed process leaves
            raise KeyboardInterrupt
        genuine(store, record, arrays)

    store = tmp_path / "store"
    monkeypatch.setattr(prepare, "CASES_AT_ONCE", 1)
    monkeypatch.setattr(prepare, "write_case", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare_cases(cohort[:2], SETTINGS, store)
    assert read_record(store, "a").record is not None
    assert read_record(store, "b").record is None
    monkeypatch.setattr(prepare, "write_case", genuine)
    records, _ = prepare_cases(cohort, SETTINGS, store)
    assert cut_ids == ["a", "b", "b", "c"]
    assert sorted(path.name for path in store.iterdir()) == ["a", "b", "c"]
    for record in records:
        assert CaseArrays(store, record).ct.shape == (2, *SETTINGS.crop_shape)


def test_it_ends_after_the_cases_at_hand_where_it_is_asked_to(tmp_path, cohort, monkeypatch):
    """One at a time; the signal comes with the first."""
    genuine = prepare.write_case

    def asked(store, record, arrays):
        if record.case_id == "a":
            os.kill(os.getpid(), signal.SIGTERM)
        genuine(store, record, arrays)

    store = tmp_path / "store"
    monkeypatch.setattr(prepare, "CASES_AT_ONCE", 1)
    monkeypatch.setattr(prepare, "write_case", asked)
    with STOP.listening(), pytest.raises(Stopped) as stopped:
        prepare_cases(cohort, SETTINGS, store)
    kept = [path.name for path in store.iterdir()]
    assert 1 <= len(kept) < 3
    said = f"{store}: {len(kept)} of 3 cases are prepared and kept; the same command goes on"
    assert said in str(stopped.value)
    records, _ = prepare_cases(cohort, SETTINGS, store)
    assert len(records) == 3


def test_one_bad_case_is_left_out_and_the_others_go_on(tmp_path, cohort):
    store = tmp_path / "store"
    prepare_cases(cohort, SETTINGS, store)
    whole = cohort[1].ct.read_bytes()
    cohort[1].ct.write_bytes(whole[: len(whole) // 2])
    absent = Case("d", "d", tmp_path / "nowhere.nii.gz", vertebrae=cohort[0].vertebrae)
    records, left_out = prepare_cases([*cohort, absent], SETTINGS, store)
    # "b" is in the store as it was before: it is not what the file now says, so it is out
    assert [record.case_id for record in records] == ["a", "c"]
    assert [case.case_id for case in left_out] == ["b", "d"]
    assert "damaged or cut short" in left_out[0].reason
    assert "nowhere.nii.gz" in left_out[1].reason
    cohort[1].ct.write_bytes(whole)
    assert len(prepare_cases(cohort, SETTINGS, store)[0]) == 3


@pytest.mark.parametrize("damaged", ["record.json", "ct/zarr.json", "ct/c/0/0/0/0"])
def test_a_case_that_is_damaged_in_the_store_is_prepared_again_and_said(
    tmp_path, cohort, cut_ids, caplog, damaged
):
    store = tmp_path / "store"
    records, _ = prepare_cases(cohort, SETTINGS, store)
    before = (store / "b" / "ct" / "c" / "0" / "0" / "0" / "0").read_bytes()
    path = store / "b" / damaged
    path.write_bytes(path.read_bytes()[:-3])
    again, left_out = prepare_cases(cohort, SETTINGS, store)
    assert again == records
    assert not left_out
    assert sorted(cut_ids[:3]) == ["a", "b", "c"], "in any order"
    assert cut_ids[3:] == ["b"]
    assert (store / "b" / "ct" / "c" / "0" / "0" / "0" / "0").read_bytes() == before
    said = [record.getMessage() for record in caplog.records]
    assert any("b: its prepared crops are damaged" in text and damaged in text for text in said)


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError("8 EiB"), OSError(5, "disc")])
def test_what_no_check_foresaw_costs_one_case(tmp_path, cohort, monkeypatch, error):
    genuine = prepare.read_hounsfield

    def read_hounsfield(path):
        if path == cohort[1].ct:
            raise error
        return genuine(path)

    monkeypatch.setattr(prepare, "read_hounsfield", read_hounsfield)
    records, left_out = prepare_cases(cohort, SETTINGS, tmp_path / "store")
    assert [record.case_id for record in records] == ["a", "c"]
    (lost,) = left_out
    assert lost == prepare.LeftOut("b", f"{type(error).__name__}: {error}")


def test_nothing_usable_is_an_error_that_names_all(tmp_path, cohort):
    for case in cohort[:2]:
        case.ct.write_bytes(gzip.compress(b"no CT"))
    with pytest.raises(UserError, match="no case can be used") as error:
        prepare_cases(cohort[:2], SETTINGS, tmp_path / "store")
    assert all(str(case.ct) in str(error.value) for case in cohort[:2])


def test_a_store_that_cannot_be_written_ends_the_run(tmp_path, cohort):
    """Not a matter of one case: to go on would only read every CT in vain."""
    (tmp_path / "store").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        prepare_cases(cohort, SETTINGS, tmp_path / "store")


def test_cases_are_read_side_by_side_but_not_all_at_once(tmp_path, cohort, monkeypatch):
    """Two threads meet in `cut_case`; a third is never there."""
    inside, most = itertools.count(), []
    present, lock, meeting = set(), threading.Lock(), threading.Barrier(2)
    genuine = prepare.cut_case

    def watched(case, *args):
        with lock:
            present.add(case.case_id)
            most.append(len(present))
        if next(inside) < 2:
            meeting.wait(timeout=300)  # breaks if the second never comes
        found = genuine(case, *args)
        with lock:
            present.discard(case.case_id)
        return found

    monkeypatch.setattr(prepare, "cores", lambda: 8)
    monkeypatch.setattr(prepare, "CASES_AT_ONCE", 2)
    monkeypatch.setattr(prepare, "cut_case", watched)
    prepare_cases(cohort, SETTINGS, tmp_path / "store")
    assert max(most) == 2
