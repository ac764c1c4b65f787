"""Stacks of slices that are no regular volume, and those that are one after all."""

import numpy as np
import pytest

from tests.data.dicom_series import save, slices_of
from vfseg.data.volume import read_ct, read_geometry
from vfseg.errors import UserError


def move(slices, index, offset):
    slices[index].ImagePositionPatient = [
        float(a) + b for a, b in zip(slices[index].ImagePositionPatient, offset)
    ]


def sheared(degrees):
    """The gantry is tilted about the x axis, the table moves along z."""
    slices = slices_of()
    turn = np.deg2rad(degrees)
    for index, data in enumerate(slices):
        data.ImageOrientationPatient = [1, 0, 0, 0, float(np.cos(turn)), float(np.sin(turn))]
        data.ImagePositionPatient = [-30, 12, 400 + 2.5 * index]
        data.GantryDetectorTilt = degrees
    return slices


def without(slices, *gone):
    return [data for index, data in enumerate(slices) if index not in gone]


def changed(change, **where):
    slices = slices_of(**where)
    return change(slices) or slices


def unequal(slices):
    for index in range(5, 10):
        move(slices, index, (0, 0, 1.25 * (index - 4)))


def mixed(slices):
    slices[3].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def smaller(slices):
    slices[3].Rows, slices[3].PixelData = 4, slices[3].PixelData[: 2 * 6 * 4]


def zoomed(slices):
    slices[3].PixelSpacing = [0.5, 0.5]


IRREGULAR = {
    "missing": (
        lambda: without(slices_of(), 3, 6, 7),
        r"3 missing slices \(2.5 mm.*1 between IM\d+ \(405.00 mm\) and IM\d+ \(410.00 mm\); "
        r"2 between IM\d+ \(412.50 mm\) and IM\d+ \(420.00 mm\)",
    ),
    "duplicate": (
        lambda: [*slices_of(), slices_of()[4]],
        r"1 duplicate slice \(two phases.* at 410.00 mm",
    ),
    "two phases": (lambda: slices_of() + slices_of(), "10 duplicate slices.*and 7 more"),
    "copy": (lambda: changed(lambda s: [*s, s[4].copy()]), r"1 duplicate slice \(copies of one"),
    "unequal": (lambda: changed(unequal), "unequal spacing.*2.5 to 3.75 mm: 4 times 2.5 mm; 5 tim"),
    "tilt": (lambda: sheared(12.0), r"gantry tilt of 12.0 degrees: .* says 12"),
    "shift": (lambda: changed(lambda s: move(s, 4, (2, 0, 0))), r"sideways, IM\d+ by 2.00 mm"),
    "mixed orientations": (lambda: changed(mixed), r"mixed orientations.*\(9 slices\).*\(1 slice"),
    "sizes": (lambda: changed(smaller), r"different Rows: 5 \(9 slices\), 4 \(1 slice\)"),
    "pixel spacing": (lambda: changed(zoomed), "different PixelSpacing"),
}


def made_uniform(slices):
    for data in slices:
        data.SeriesInstanceUID = slices[0].SeriesInstanceUID
    return slices


@pytest.mark.parametrize("name", IRREGULAR)
def test_irregular_stacks_are_named(name, tmp_path):
    make, message = IRREGULAR[name]
    folder = save(made_uniform(make()), tmp_path / "case7")
    for reader in (read_ct, read_geometry):
        with pytest.raises(UserError, match=message) as caught:
            reader(folder)
        assert str(folder) in str(caught.value)


def test_small_errors_of_rounding_are_none(tmp_path):
    """Places rounded to 0.01 mm, a tilt of 0.05 degrees."""
    slices = slices_of()
    for index, data in enumerate(slices):
        x, y, z = (float(v) for v in data.ImagePositionPatient)
        data.ImagePositionPatient = [x, y + 2.5 * index * np.deg2rad(0.05), round(z + 0.004, 2)]
    assert read_ct(save(slices, tmp_path / "s")).shape == (10, 5, 6)


def test_a_tilt_that_the_scanner_corrected(tmp_path):
    """The tag says tilt, the slices lie behind one another: a regular volume."""
    folder = save(slices_of(GantryDetectorTilt=12.0), tmp_path / "s")
    assert read_ct(folder).shape == (10, 5, 6)
