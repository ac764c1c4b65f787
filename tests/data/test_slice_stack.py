"""Stacks of slices that are no regular volume, and those that are one after all."""

import numpy as np
import pytest

from tests.data.dicom_series import save, series_affine, slices_of, volume
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


def half(change):
    """The change, made to half of the slices."""

    def made(slices):
        for index in range(5):
            change([None] * 3 + [slices[index]])

    return made


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
    "mixed orientations": (
        lambda: changed(half(mixed)),
        r"different ImageOrientationPatient: .*\(5 slices\).*\(5 slices",
    ),
    "sizes": (lambda: changed(half(smaller)), r"different Rows: 5 \(5 slices\), 4 \(5 slices\)"),
    "pixel spacing": (
        lambda: changed(half(zoomed)),
        r"different PixelSpacing: \[0.9, 0.7\] \(5 slices\), \[0.5, 0.5\] \(5 slices",
    ),
    "one orientation": (
        lambda: changed(mixed),
        r"(?s)1 missing slice .*left out IM\d+: .*\[0.0, 1.0, 0.0, 0.0, 0.0, -1.0\] put its corn",
    ),
    "one size": (
        lambda: changed(smaller),
        r"(?s)1 missing slice .*left out IM\d+: 4 x 6 pixels, 5 x 6 in the other slices",
    ),
    "one pixel spacing": (
        lambda: changed(zoomed),
        r"(?s)1 missing slice .*left out IM\d+: PixelSpacing \[0.5, 0.5\]",
    ),
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


def test_numbers_are_compared_as_numbers(tmp_path):
    """Whatever the text: zeros at the end, a sign, an exponent, other places of decimals."""
    slices = slices_of()
    for data, text in zip(slices, ("0.900000", "+.9", "9e-1", "0.9 ", "0.90", "00.9")):
        data.PixelSpacing = [text, "0.7"]
    for data, text in zip(slices, ("1.000", "1", "0.1E1", "1.", "+1")):
        data.ImageOrientationPatient = [text, "0", "-0", "0.0", text, "0e5"]
    folder = save(slices, tmp_path / "s")
    ct = read_ct(folder)
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume((6, 5, 10)))
    np.testing.assert_allclose(ct.geometry.stored_affine, series_affine(), atol=1e-4)


# Corners of slices lie 5 columns of 0.7 mm and 4 rows of 0.9 mm from their first pixel, the slices
# 2.5 mm apart; each entry is what the number differs by where the corner is 1 voxel away.
PER_VOXEL = {
    "spacing of columns": lambda data, by: spaced(data, 0, by / 5 * 0.7),
    "spacing of rows": lambda data, by: spaced(data, by / 4 * 0.9, 0),
    "row turned in the plane": lambda data, by: turned(data, 1, by * 0.9 / (5 * 0.7)),
    "row turned out of the plane": lambda data, by: turned(data, 2, by * 2.5 / (5 * 0.7)),
    "column turned out of the plane": lambda data, by: turned(data, 5, by * 2.5 / (4 * 0.9)),
}


def spaced(data, rows, columns):
    data.PixelSpacing = [0.9 + rows, 0.7 + columns]


def turned(data, component, by):
    direction = [1.0, 0, 0, 0, 1, 0]
    direction[component] += by
    data.ImageOrientationPatient = direction


@pytest.mark.parametrize("name", PER_VOXEL)
def test_a_tenth_of_a_voxel_at_the_corners_is_no_difference(name, tmp_path):
    slices = slices_of()
    PER_VOXEL[name](slices[4], 0.09)
    ct = read_ct(save(slices, tmp_path / "within"))
    np.testing.assert_array_equal(ct.geometry.to_stored(ct.array), volume((6, 5, 10)))
    np.testing.assert_allclose(ct.geometry.stored_affine, series_affine(), atol=1e-4)
    slices = slices_of()
    PER_VOXEL[name](slices[4], 0.12)
    with pytest.raises(UserError, match=r"1 missing slice[^!]*put its corners up to 0.12 voxels"):
        read_ct(save(slices, tmp_path / "beyond"))


def test_every_second_slice_differs_a_little(tmp_path):
    """The volume takes the middle: each lies within half of the difference, 0.18 voxels, of it."""
    slices = slices_of()
    for data in slices[::2]:
        spaced(data, 0, 0.18 / 5 * 0.7)
    affine = read_ct(save(slices, tmp_path / "s")).geometry.stored_affine
    np.testing.assert_allclose(affine[:3, 0], [-0.7 - 0.09 / 5 * 0.7, 0, 0], atol=1e-6)


def test_a_few_slices_of_short_distance_are_not_tilted_by_rounding(tmp_path):
    """Places rounded to 0.1 mm, in 4 slices 1 mm apart: 1 degree, but 0.05 mm."""
    slices = slices_of(4)
    for index, data in enumerate(slices):
        data.ImagePositionPatient = [-30, 12 + (0.05 if index > 1 else 0), 400 + index]
    assert read_ct(save(slices, tmp_path / "s")).shape == (4, 5, 6)
