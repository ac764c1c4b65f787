"""The audit of a whole data set."""

import dataclasses
import gzip
import os
import signal

import pytest

from tests.audit.data_set import SETTINGS, SHAPE, audit, found, kinds, sheet, write_case
from tests.synthesis.made import make_cohort
from vfseg.audit import audit as audit_module
from vfseg.audit import audit_cases
from vfseg.audit.tables import spacing_table
from vfseg.crops.settings import PrepareSettings, WindowSettings
from vfseg.data.cases import check_manifest, write_manifest
from vfseg.data.discovery import find_cases
from vfseg.stopping import STOP, Stopped


def test_a_sound_set_has_no_error_and_no_warning(tmp_path):
    splits = ("train", "validation", "test")
    fractures = sheet("L1") + sheet("L2", 2) + sheet("L3", 3)
    cases = [
        write_case(tmp_path, split, seed=seed, split=split, fractures=fractures)
        for seed, split in enumerate(splits)
    ]
    result = audit(*cases)
    assert not kinds(result, "error", "warning")
    assert result.usable == splits
    facts = result.cases[0]
    assert (facts.shape, facts.voxel_spacing, facts.orientation) == (SHAPE, (2, 2, 2), "RAS")
    assert [v.level for v in facts.vertebrae] == ["L1", "L2", "L3"]
    assert facts.lesions is not None
    for number, lesion in enumerate(facts.lesions, 1):
        assert (lesion.number, lesion.voxels, lesion.components) == (number, 288, 1)
        assert lesion.volume_ml == pytest.approx(288 * 0.008)
        assert lesion.thickness_mm == pytest.approx(4, rel=0.1)  # its rim is shallower
        assert lesion.owners == ((f"L{number}", 288),)
        assert lesion.outside_fraction == lesion.uncropped_fraction == 0


def test_it_ends_between_cases_where_it_is_asked_to(tmp_path, monkeypatch):
    cases = [write_case(tmp_path, name, seed=i) for i, name in enumerate("abc")]
    genuine, seen = audit_module.examine_case, []

    def asked(case, *arguments, **options):
        seen.append(case.case_id)
        if case.case_id == "b":
            os.kill(os.getpid(), signal.SIGTERM)
        return genuine(case, *arguments, **options)

    monkeypatch.setattr(audit_module, "examine_case", asked)
    with STOP.listening(), pytest.raises(Stopped, match="begins it anew") as stopped:
        audit(*cases)
    assert stopped.value.status == 143
    assert seen == ["a", "b"]


def test_mistake_8_what_a_window_sees(tmp_path):
    case = write_case(tmp_path, "a")
    windows = WindowSettings(
        planes=("sagittal",), length=5, stride_mm=0.5, targets=4, batch_size=4, positive_share=0.5
    )
    fine = PrepareSettings(voxel_spacing=0.5, crop_shape=(96, 96, 96))
    result = audit(case, settings=fine, windows=windows)
    assert "5 sagittal slices, 0.5 mm apart, see ±1 mm" in result.windows
    assert "±1 mm" in found(result, "window_reach", "warning").message
    assert found(result, "thick_slices", "warning")  # its own are 2 mm apart
    assert spacing_table(result)[1][0][-1] == "2.0"  # 2 * 1 mm / 2 mm + 1
    wide = dataclasses.replace(windows, stride_mm=2.0)
    assert not kinds(audit(case, windows=wide), "warning") & {"window_reach", "thick_slices"}


def test_damaged_files_are_listed_and_the_others_go_on(tmp_path):
    cases = [write_case(tmp_path, name, seed=i) for i, name in enumerate("abcd")]
    raw = cases[0].ct.read_bytes()
    cases[0].ct.write_bytes(raw[: len(raw) // 2])
    cases[1].fractures.write_bytes(b"no nifti")
    cases[2].vertebrae.write_bytes(gzip.compress(b"no nifti"))
    result = audit(*cases)
    errors = {f.case_id: f for f in result.findings if f.kind == "file"}
    assert set(errors) == {"a", "b", "c"}
    for case_id, name in zip("abc", ("ct", "f", "v")):
        assert f"{name}.nii.gz" in errors[case_id].message
    assert result.usable == ("d",)
    assert [v.level for v in result.cases[0].vertebrae] == ["L1", "L2", "L3"]  # still looked at


def test_lines_that_the_manifest_left_out_are_listed(tmp_path):
    case = write_case(tmp_path, "a", patient="p")
    other = write_case(tmp_path, "b", seed=1, patient="p", split="test")
    write_manifest(tmp_path / "manifest.csv", [case, other])
    cases, problems = check_manifest(tmp_path / "manifest.csv")
    result = audit_cases(cases, SETTINGS, progress=False, left_out=problems)
    assert "'p' is in 'test'" in found(result, "left_out", "error").message
    assert result.usable == ("a",)


def test_remarks_on_the_data_set_are_notes(tmp_path):
    """No case is lost by them, and by the last one is."""
    for name in ("anna", "bob"):
        write_case(tmp_path, name, seed=len(name))
    (tmp_path / "odd_mask.nii.gz").touch()
    for name in ("cut_1", "cut_2"):
        (tmp_path / "bob" / f"{name}.csv").write_text("level,x0,x1,y0,y1,z0,z1")
    for name in ("anna", "bob"):
        (tmp_path / name / "v.nii.gz").rename(tmp_path / name / "vertebrae.nii.gz")
        (tmp_path / name / "f.nii.gz").rename(tmp_path / name / "fractures.nii.gz")
    cases, notes = find_cases(tmp_path)
    assert [case.case_id for case in cases] == ["anna"]
    result = audit_cases(cases, SETTINGS, progress=False, left_out=notes)
    assert "several files for its boxes" in found(result, "left_out", "error").message
    assert "odd_mask" in found(result, "data_set", "note").message
    assert kinds(result, "error") == {"left_out"}


def test_the_phantom_has_no_error(tmp_path):
    settings = {"train": 2, "validation": 1, "test": 1, "fracture_probability": 0.7, "seed": 1}
    manifest = make_cohort(tmp_path, {**settings, "levels_per_case": (3, 3)}, progress=False)
    phantom = PrepareSettings(voxel_spacing=1.25, crop_shape=(48, 48, 48))
    cases, _ = find_cases(manifest)
    result = audit_cases(cases, phantom, progress=False)
    assert not [f for f in result.findings if f.severity == "error"]
    assert len(result.usable) == 4
    assert sum(len(case.lesions or ()) for case in result.cases) > 0
