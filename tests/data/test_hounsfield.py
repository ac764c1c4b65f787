"""Whether values can be Hounsfield units, and that every mode asks."""

import logging
import sys
import types

import numpy as np
import pytest

from tests.audit.data_set import AFFINE, SETTINGS, audit, bodies, found, image, write_case
from tests.data.nifti_files import save
from vfseg.crops.prepare import prepare_cases
from vfseg.data.geometry import geometry_from
from vfseg.data.hounsfield import check_hounsfield, hounsfield_histogram, read_hounsfield
from vfseg.data.vertebra_labels import segment_vertebrae
from vfseg.data.volume import read_ct, write_ct
from vfseg.errors import UserError
from vfseg.inference import case as prediction
from vfseg.synthesis.virtual_fractures import VirtualFractureSettings, make_virtual_cohort


def histogram(values):
    return np.bincount(np.clip(values.ravel(), -32768, 32767).astype(int) + 32768, minlength=65536)


@pytest.mark.parametrize(
    ("change", "severity", "words"),
    [
        (lambda hu: (np.clip(hu, -200, 600) + 200) * 255 // 800, "error", "8-bit"),
        (lambda hu: hu + 1100, "error", "all values are positive"),
        (lambda hu: hu + 1000, "error", "soft tissue lies near +1000"),
        (lambda hu: -hu, "error", "inverted"),
        (lambda hu: hu // 10, "error", "too few"),
        (lambda hu: hu // 2, "warning", "peak of air lies at -5"),
        (lambda hu: np.clip(hu, -150, 32767), "warning", "clipped at -150 below"),
        (lambda hu: np.minimum(hu, 100), "warning", "clipped at 100 above"),
        (lambda hu: hu * 20, "error", "slope"),
    ],
)
def test_what_cannot_be_hounsfield_units(change, severity, words):
    findings = list(check_hounsfield(histogram(change(image(0).astype(int)))))
    assert any(s == severity and words in message for s, _, message in findings), findings


def test_padding_is_noted_and_hides_nothing():
    hu = image(0).astype(int)
    assert list(check_hounsfield(histogram(hu))) == []
    padded = hu.copy()
    padded[:5] = -2048
    assert [f[:2] for f in check_hounsfield(histogram(padded))] == [("note", "padding")]
    shifted = np.where(padded == -2048, -2048, hu + 1100)
    assert [f[0] for f in check_hounsfield(histogram(shifted))] == ["note", "error"]


def test_a_ct_of_the_wrong_intensity_is_found_on_disk(tmp_path):
    result = audit(write_case(tmp_path, "a", ct=(-image(0))))
    assert "inverted" in found(result, "hounsfield", "error").message


WRONG = {
    "intercept lost": (lambda hu: (hu.astype(int) + 1100).clip(0), "intercept"),
    "intercept of 1000 lost": (lambda hu: hu.astype(int) + 1000, "intercept"),
    "windowed": (lambda hu: (hu.clip(-160, 240) + 160) // 2, "8-bit grey values"),
    "label map": (lambda hu: bodies(), "label map"),
    "inverted": (lambda hu: -hu, "inverted"),
}


@pytest.fixture(params=WRONG)
def wrong(request, tmp_path):
    """A case whose CT is not in HU, and what is said of it."""
    change, words = WRONG[request.param]
    return write_case(tmp_path, "a", ct=change(image(0)).astype(np.int16)), words


def test_audit_refuses_it(wrong):
    case, words = wrong
    assert words in found(audit(case), "hounsfield", "error").message


def test_prepare_refuses_it(wrong, tmp_path):
    case, words = wrong
    good = write_case(tmp_path, "b", seed=1)
    records, left_out = prepare_cases([case, good], SETTINGS, tmp_path / "store")
    assert [record.case_id for record in records] == ["b"]
    assert words in left_out[0].reason
    assert str(case.ct) in left_out[0].reason


def test_prediction_refuses_it_and_writes_nothing(wrong, tmp_path):
    case, words = wrong
    model = types.SimpleNamespace(prepare=SETTINGS)
    with pytest.raises(UserError, match=words) as caught:
        prediction.predict_case(case, model, SETTINGS, tmp_path / "out")
    assert str(case.ct) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_virtual_fractures_and_segmentation_refuse_it(wrong, tmp_path, monkeypatch):
    case, words = wrong
    settings = VirtualFractureSettings(variants=1, vertebra_scheme="verse")
    with pytest.raises(UserError, match=words):
        make_virtual_cohort([case], tmp_path / "virtual", settings, progress=False)
    segmented = []
    package = types.ModuleType("totalsegmentator.python_api")
    package.totalsegmentator = segmented.append
    monkeypatch.setitem(sys.modules, "totalsegmentator", package)
    monkeypatch.setitem(sys.modules, "totalsegmentator.python_api", package)
    with pytest.raises(UserError, match=words):
        segment_vertebrae(case.ct, tmp_path / "v.nii.gz")
    assert not segmented


def test_what_is_only_odd_is_a_warning_in_the_log(tmp_path, caplog):
    case = write_case(tmp_path, "a", ct=image(0).clip(-150))
    with caplog.at_level(logging.WARNING, logger="absl"):
        ct = read_hounsfield(case.ct)
    np.testing.assert_array_equal(ct.array, read_ct(case.ct).array)
    assert "ct.nii.gz: values are clipped at -150 below" in caplog.text


def test_of_a_large_ct_every_few_slices_count(tmp_path, monkeypatch):
    """In the order of the file, whatever its orientation."""
    hu = image(0)
    for stored in ("xyz", "yxz"):
        ct = read_ct(write_case(tmp_path, stored, ct=hu, stored=stored).ct)
        np.testing.assert_array_equal(hounsfield_histogram(ct, 7), histogram(hu[::7]))
        np.testing.assert_array_equal(hounsfield_histogram(ct), histogram(hu))
    monkeypatch.setattr("vfseg.data.hounsfield._ENOUGH_VOXELS", hu.size // 8)
    offset = write_case(tmp_path, "offset", ct=hu + np.int16(1100))
    with pytest.raises(UserError, match="all values are positive"):
        read_hounsfield(offset.ct)


def test_a_trailing_axis_does_not_matter(tmp_path):
    array = np.moveaxis(image(0), 0, 2)[..., None]
    ct = read_hounsfield(save(tmp_path / "ct.nii", array, AFFINE))
    assert hounsfield_histogram(ct).sum() == array.size


def test_a_tight_crop_without_air_is_no_lost_intercept(tmp_path):
    """Soft tissue, and bone of which a tenth is as dense as +1000."""
    hu = np.random.default_rng(0).integers(-20, 100, (40, 40, 40))
    hu[:20] += 200
    hu[:4] = 1000
    write_ct(tmp_path / "ct.nii", hu.astype(np.int16), geometry_from((40, 40, 40), np.eye(4)))
    np.testing.assert_array_equal(read_hounsfield(tmp_path / "ct.nii").array, hu)
