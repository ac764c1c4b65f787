"""`docs/boxes.md` says of box files what they are."""

import re

import nibabel as nib
import numpy as np
import pytest

from tests.cohort import ROOT
from tests.data.dicom_series import make_slices, save, series_affine
from vfseg.data.boxes import BOX_EDGES, vertebrae_from_boxes
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import read_geometry

PAGE = (ROOT / "docs" / "boxes.md").read_text()
EXAMPLE = re.search(r"```\n(.*?)```", PAGE, re.S).group(1)
SHAPE = (120, 120, 240)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LAS"])
def test_its_example_is_half_open_in_the_stored_array(tmp_path, orientation):
    signs = [1 if letter in "RAS" else -1 for letter in orientation]
    geometry = geometry_from(SHAPE, np.diag([*signs, 1]))
    path = tmp_path / "boxes.csv"
    path.write_text(EXAMPLE)
    found = {v.level: v for v in vertebrae_from_boxes(path, geometry)}
    assert list(found) == ["L1", "L2"]
    for line in EXAMPLE.splitlines()[1:]:
        level, *edges = line.split(",")
        x0, x1, y0, y1, z0, z1 = map(int, edges)
        stored = np.zeros(SHAPE, np.uint8)
        stored[x0:x1, y0:y1, z0:z1] = 1
        where = np.argwhere(geometry.to_canonical(stored))
        assert found[level].start == tuple(where.min(axis=0))
        assert found[level].stop == tuple(where.max(axis=0) + 1)


def test_files_without_a_first_line_are_as_the_table_says(tmp_path):
    geometry = geometry_from(SHAPE, np.diag([-1, -1, 1, 1]))
    rows = re.findall(r"^\| (\d+) \| `([^`]+)`", PAGE, re.M)
    assert [count for count, _ in rows] == ["7", "11"]
    values = dict(zip(BOX_EDGES, (40, 88, 30, 74, 200, 226))) | {"id": "L1"}
    expected = None
    for count, columns in rows:
        names = columns.split(", ")
        assert len(names) == int(count)
        path = tmp_path / "boxes.csv"
        path.write_text(", ".join(str(values.get(name, 5)) for name in names) + ",\n")
        (found,) = vertebrae_from_boxes(path, geometry)
        expected = expected or found.start
        assert found.start == expected == (200, 120 - 74, 120 - 88)


def test_slices_of_a_series_run_from_the_feet_to_the_head(tmp_path):
    """Numbered from the head down, as many scanners do: slice k of n is z = n - k."""
    n = 6
    slices = make_slices(np.zeros((8, 7, n), np.int16), series_affine())
    for data in slices:  # which are written from the feet to the head
        data.InstanceNumber = n + 1 - data.InstanceNumber
    geometry = read_geometry(save(slices, tmp_path / "series"))
    assert geometry.stored_shape == (8, 7, n)
    assert "".join(nib.aff2axcodes(geometry.stored_affine)) == "LPS"
    for data in slices:
        z = n - int(data.InstanceNumber)
        place = (geometry.stored_affine @ [0, 0, z, 1])[2]
        assert place == pytest.approx(float(data.ImagePositionPatient[2]), abs=1e-4)
