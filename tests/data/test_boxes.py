"""Box files of every accepted kind, and every way to get one wrong."""

import numpy as np
import pytest

from vfseg.data.boxes import vertebrae_from_boxes
from vfseg.data.geometry import geometry_from
from vfseg.data.schemes import LEVELS
from vfseg.errors import UserError

SHAPE = (60, 80, 300)  # 1.5 mm voxels; LPS, so canonical h and w run against y and x
SPACING = 1.5
AFFINE = np.diag([-SPACING, -SPACING, SPACING, 1])
GEOMETRY = geometry_from(SHAPE, AFFINE)
# Edges along z, from L5 upwards: vertebrae 34 mm apart in the lumbar spine, 22 mm higher up.
STEPS = np.interp(np.arange(14), [0, 4, 8, 13], [34, 32, 27, 21])
LOW = np.rint((8 + np.cumsum(STEPS) - STEPS[0]) / SPACING).astype(int)
BOXES = [(10, 50, 20, 70, int(low), int(low + step / SPACING)) for low, step in zip(LOW, STEPS)]


def cut_li(ids, boxes=BOXES):
    """Lines of a `cut_li` file, with the comma at the end that such files have."""
    return [f"{i}, 3, 4, {b[5] - b[4]}, 60, {', '.join(map(str, b))}," for i, b in zip(ids, boxes)]


def write(folder, lines):
    path = folder / "cut_li7.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("ids", [range(27, 41), range(1, 15), range(24, 10, -1)], ids=str)
def test_cut_li(ids, tmp_path):
    found = vertebrae_from_boxes(write(tmp_path, cut_li(ids)), GEOMETRY)
    assert tuple(v.level for v in found) == LEVELS
    assert tuple(v.label for v in found) == tuple(reversed(ids))
    last, (x0, x1, y0, y1, z0, z1) = found[-1], BOXES[0]
    assert last.level == "L5"
    # x runs to the left, so canonical w = 59 - x: voxels x0 .. x1 - 1 become 60 - x1 .. 59 - x0.
    assert last.start == (z0, 80 - y1, 60 - x1)
    assert last.stop == (z1, 80 - y0, 60 - x0)
    np.testing.assert_array_equal(
        last.centre, [(z0 + z1 - 1) / 2, 79 - (y0 + y1 - 1) / 2, 59 - (x0 + x1 - 1) / 2]
    )
    assert last.voxels == (x1 - x0) * (y1 - y0) * (z1 - z0)
    assert last.volume_ml == pytest.approx(last.voxels * SPACING**3 / 1000)


def test_the_box_holds_the_same_voxels(tmp_path):
    """Half-open in the stored array, as NumPy slices it; `inclusive` adds the upper edge."""
    stored = np.zeros(SHAPE, np.uint8)
    x0, x1, y0, y1, z0, z1 = BOXES[3]
    stored[x0:x1, y0:y1, z0:z1] = 1
    path = write(tmp_path, cut_li(range(27, 41)))
    for inclusive in (False, True):
        box = vertebrae_from_boxes(path, GEOMETRY, inclusive=inclusive)[-4]
        if inclusive:
            stored[x0 : x1 + 1, y0 : y1 + 1, z0 : z1 + 1] = 1
        where = np.argwhere(GEOMETRY.to_canonical(stored))
        assert box.level == "L2"
        assert box.start == tuple(where.min(axis=0))
        assert box.stop == tuple(where.max(axis=0) + 1)


def test_plain_tables(tmp_path):
    plain = [f"{i},{','.join(map(str, b))}" for i, b in zip(range(27, 41), BOXES)]
    header = ["label,z0,z1,comment,x0,x1,y0,y1"]
    named = [
        f"{level},{b[4]},{b[5]},seen,{b[0]}.0,{b[1]},{b[2]},{b[3]}"
        for level, b in zip(reversed(LEVELS), BOXES)
    ]
    one = vertebrae_from_boxes(write(tmp_path, plain), GEOMETRY)
    two = vertebrae_from_boxes(write(tmp_path, header + named), GEOMETRY)
    assert [(v.level, v.start, v.stop) for v in one] == [(v.level, v.start, v.stop) for v in two]
    assert {v.label for v in two} == {0}


def test_neighbours_are_left_out(tmp_path):
    ids = range(28, 42)  # the uppermost is T3
    found = vertebrae_from_boxes(write(tmp_path, cut_li(ids)), GEOMETRY)
    assert tuple(v.level for v in found) == LEVELS[:13]


GOOD = cut_li(range(27, 41))
BAD = {
    "nothing": ([""], "no box"),
    "cells": (["27, 1, 2, 3"], "line 1 has 4 cells"),
    "words": (["27,a,20,1,2,3,4"], "x0 is 'a'"),
    "fractions": (["27,1.5,20,1,2,3,4"], "x0 is '1.5'"),
    "inverted": (["27,20,10,1,2,3,4"], "line 1: box of 27 is empty or inverted: x from 20 to 10"),
    "one voxel, half-open": (["27,10,10,1,2,3,4"], "--boxes-inclusive"),
    "below 0": (["27,-1,10,1,2,3,4"], "leaves the volume: x from -1"),
    "beyond": (["27,1,10,1,81,3,4"], "y from 1 to 81, the CT has 80"),
    "doubled": ([GOOD[0], GOOD[0]], "line 2: a second box of 27"),
    "reversed": (cut_li(range(40, 26, -1)), "reversed"),
    "unknown ids": (cut_li(range(60, 74)), "cannot tell"),
    "organs": ([*GOOD, "3,1,9,1,9,1,9"], "knows no vertebra 3"),
    "columns": (["id,x0,x1", "27,1,2"], "lacks y0, y1, z0, z1"),
    "names and numbers": (["L5,1,9,1,9,1,9", "28,1,9,1,9,20,29"], "one kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named(name, tmp_path):
    lines, message = BAD[name]
    path = write(tmp_path, lines)
    with pytest.raises(UserError, match=message) as caught:
        vertebrae_from_boxes(path, GEOMETRY)
    assert str(path) in str(caught.value)


def test_inclusive_box_at_the_border(tmp_path):
    path = write(tmp_path, ["L5,0,60,0,80,0,20"])
    vertebrae_from_boxes(path, GEOMETRY)
    with pytest.raises(UserError, match="leaves the volume: x from 0 to 61"):
        vertebrae_from_boxes(path, GEOMETRY, inclusive=True)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        vertebrae_from_boxes(tmp_path / "cut_li1.txt", GEOMETRY)
