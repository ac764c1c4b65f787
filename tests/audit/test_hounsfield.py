"""Whether values can be Hounsfield units."""

import numpy as np
import pytest

from tests.audit.data_set import audit, found, image, write_case
from vfseg.audit.hounsfield import check_hounsfield


def histogram(values):
    return np.bincount(np.clip(values.ravel(), -32768, 32767).astype(int) + 32768, minlength=65536)


@pytest.mark.parametrize(
    ("change", "severity", "words"),
    [
        (lambda hu: (np.clip(hu, -200, 600) + 200) * 255 // 800, "error", "8-bit"),
        (lambda hu: hu + 1100, "error", "all values are positive"),
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
