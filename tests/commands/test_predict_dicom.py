"""`predict --dicom`: results beside a DICOM series, as DICOM."""

import base64
import gzip
import importlib.util
import json
import re

import nibabel as nib
import numpy as np
import pydicom
import pytest

from tests.commands.test_predict import run, save_model, undrawn, write_case
from tests.data.dicom_series import make_slices, save
from tests.report import dicom_case as made
from vfseg.commands import predict as command
from vfseg.data.discovery import find_cases
from vfseg.data.outputs import DICOM_FILES, DICOM_LESIONS, DICOM_MAP, DICOM_REPORT
from vfseg.errors import UserError
from vfseg.files import read_table

pytest.importorskip("highdicom", reason="needs the extra dicom")

__all__ = ["undrawn"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A series as a scanner stores it, and its label map."""
    folder = tmp_path_factory.mktemp("case")
    ct, labels, _ = write_case(folder)
    image = nib.load(ct)
    lps = nib.orientations.axcodes2ornt("LPS")
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(image.affine), lps)
    )
    tags = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4"}
    tags |= made.PATIENT | made.SECRET
    slices = make_slices(
        np.asarray(turned.dataobj), turned.affine, SpecificCharacterSet="ISO_IR 192", **tags
    )
    return save(slices, folder / "series"), labels


def standing(folder):
    return {name for name in DICOM_FILES if (folder / name).exists()}


@pytest.mark.usefixtures("undrawn")
def test_results_of_a_series_are_also_written_as_dicom(tmp_path, case, checkpoints, capsys):
    series, labels = case
    out = tmp_path / "out"
    run(series, out, checkpoints, vertebrae=labels, dicom=True)
    assert f"as DICOM, with name and number of the patient: {out / 'dicom'}" in (
        capsys.readouterr().out
    )
    assert standing(out) == set(DICOM_FILES)
    run(series, out, checkpoints, vertebrae=labels, dicom=True)
    assert "the result stands and is kept" in capsys.readouterr().out
    data = pydicom.dcmread(out / DICOM_LESIONS)
    _, rows = read_table(out / "lesions.csv")
    assert len(data.SegmentSequence) == len(rows) > 0
    for number in range(1, len(rows) + 1):
        places, _ = made.voxels(data, number)
        wanted = made.centroid_of_nifti(out / "lesions.nii.gz", number)
        np.testing.assert_allclose(places.mean(axis=0), wanted, atol=0.05)
    _, codes = made.voxels(pydicom.dcmread(out / DICOM_MAP))
    stored = nib.load(out / "probability.nii.gz").dataobj.get_unscaled()
    np.testing.assert_array_equal(np.sort(codes), np.sort(stored[stored > 0]))
    run(series, out, checkpoints, vertebrae=labels, overwrite=True)
    assert standing(out) == set(), "they were of a map that is no more"


def test_what_stands_is_not_predicted_anew_for_its_dicom_without_a_word(
    tmp_path, case, checkpoints, monkeypatch
):
    """Of the same files another model, or another version, makes other DICOM."""
    monkeypatch.setattr(command, "open_model", None)  # calling it would fail in another way
    (series, labels), maps = case, ("probability.nii.gz", "mask.nii.gz", "vertebrae.csv")
    for name in maps:
        (tmp_path / name).write_text("of another model")
    with pytest.raises(UserError, match=r"results stand, but not as DICOM.*--overwrite"):
        run(series, tmp_path, checkpoints, vertebrae=labels, dicom=True)
    report = tmp_path / DICOM_REPORT
    report.parent.mkdir()
    report.write_text("in the archive")
    (tmp_path / maps[0]).unlink()
    for dicom in (True, False):
        with pytest.raises(UserError, match=r"vfseg-report.dcm: stands already.*--overwrite"):
            run(series, tmp_path, checkpoints, vertebrae=labels, dicom=dicom)
    kept = [(tmp_path / name).read_text() for name in maps[1:]]
    assert kept == ["of another model"] * 2
    assert report.read_text() == "in the archive"


@pytest.mark.usefixtures("undrawn")
def test_what_was_killed_before_its_dicom_is_made_by_the_same_command(
    tmp_path, case, checkpoints, monkeypatch
):
    series, labels = case

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vfseg.report.dicom_out.structured_report", killed)
        with pytest.raises(KeyboardInterrupt):
            run(series, tmp_path / "out", checkpoints, vertebrae=labels, dicom=True)
    assert standing(tmp_path / "out") == {*DICOM_FILES} - {DICOM_REPORT}
    run(series, tmp_path / "out", checkpoints, vertebrae=labels, dicom=True)
    assert standing(tmp_path / "out") == {*DICOM_FILES}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("an odd series"), r"results stand in .*out, but no DICOM .*odd series"),
        (MemoryError("frames"), "not enough memory .*frames"),
    ],
)
def test_where_no_dicom_can_be_made_the_other_results_stand(
    tmp_path, case, checkpoints, monkeypatch, error, said
):
    series, labels = case

    def fails(*_):
        raise error

    monkeypatch.setattr("vfseg.report.dicom_out.structured_report", fails)
    with pytest.raises(UserError, match=said):
        run(series, tmp_path / "out", checkpoints, vertebrae=labels, dicom=True)
    assert (tmp_path / "out" / "vertebrae.csv").exists()
    assert DICOM_REPORT not in standing(tmp_path / "out")


def test_what_cannot_become_dicom_is_refused_before_anything_is_predicted(
    tmp_path, case, checkpoints, monkeypatch
):
    monkeypatch.setattr(command, "open_model", None)  # calling it would fail in another way
    ct, labels, _ = write_case(tmp_path)
    with pytest.raises(UserError, match=r"--dicom: .*case_ct.nii.gz: no DICOM series"):
        run(ct, tmp_path / "out", checkpoints, vertebrae=labels, dicom=True)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "highdicom" else find(name)
    )
    with pytest.raises(UserError, match=r"pip install 'vfseg\[dicom\]'"):
        run(case[0], tmp_path / "out", checkpoints, vertebrae=labels, dicom=True)


def test_results_as_dicom_are_no_ct_of_a_folder_of_cases(tmp_path):
    made.write_series(tmp_path / "cases" / "one")
    results = tmp_path / "cases" / "out" / "dicom"
    results.mkdir(parents=True)
    (series,) = [*made.write_series(tmp_path / "other").iterdir()][:1]
    series.rename(results / DICOM_REPORT.rpartition("/")[2])
    cases, notes = find_cases(tmp_path / "cases")
    assert [found.ct.name for found in cases] == ["one"]
    assert any(note.startswith("written by this program, not looked at: out") for note in notes)


def test_nothing_of_the_patient_is_in_what_is_not_dicom(tmp_path, case, checkpoints, monkeypatch):
    """Maps unpacked, tables, meshes, the picture in 3D, and the page that holds all of it."""
    monkeypatch.setattr("vfseg.report.case.overlay_figures", lambda *given: [])
    series, labels = case
    run(series, tmp_path, checkpoints, vertebrae=labels)
    secrets = {
        part
        for value in (made.PATIENT | made.SECRET).values()
        for part in (value, *value.replace("=", "^").split("^"))
        if len(part) > 4
    }
    assert {"Yamada^Tarou=山田^太郎", "Yamada", "19400229", "20260102", "spine of whom"} <= secrets
    written = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"page.html", "spine.glb", "vertebrae.csv", "probability.nii.gz"} <= set(written)
    page = written["page.html"].decode()
    first, held = (
        json.loads(re.search(rf'id="{part}">(.*?)</script>', page, re.S)[1])
        for part in ("case", "volumes")
    )
    for name, text in {**held["volumes"], **held["surfaces"], **first["curved"]["layers"]}.items():
        written[f"{name} in the page"] = base64.b64decode(text)
    for name, content in written.items():
        plain = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        found = [secret for secret in secrets if secret.encode() in plain]
        assert found == [], name
