"""What is read of a label map: bodies, and which vertebrae cannot count as healthy."""

import numpy as np
import pytest

from tests.synthesis.painted.made_spine import DEPTH, HEIGHT, WIDTH, label_map
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume
from vfseg.errors import UserError
from vfseg.synthesis.painted import paint_case, read_source
from vfseg.synthesis.settings import PaintedSettings


def read(volume, **grades):
    return read_source(volume, "verse", grades, "map")


def test_bodies_have_the_sizes_of_the_map():
    source = read(label_map())
    assert [bone.name for bone in source.bones] == ["L2", "L3", "L4"]
    assert source.whole == ["L2", "L3", "L4"]
    assert source.ends == (False, False)
    for bone in source.bones:
        assert bone.size.height == pytest.approx(HEIGHT, abs=1.0)
        assert bone.size.depth == pytest.approx(DEPTH, abs=1.5)
        assert bone.size.width == pytest.approx(WIDTH, abs=1.5)
        assert abs(bone.size.wedge) < 2


def test_graded_vertebrae_are_painted_but_neither_labelled_nor_broken():
    source = read(label_map(), L3=2, L4=0)
    assert source.left_out == {"L3": "Genant grade 2"}
    assert source.whole == ["L2", "L4"]
    case = paint_case(source, 2, PaintedSettings(fracture_probability=1.0))
    shown = set(np.unique(case.vertebrae.array)) - {0}
    assert 22 not in shown
    assert shown <= {21, 23}
    assert "L3" not in {fact.level for fact in case.facts}
    # Its bone is there: between the two others much is as dense as bone.
    middle = np.array(case.ct.array.shape) // 2
    part = case.ct.array[tuple(slice(m - m // 3, m + m // 3) for m in middle)]
    assert (part > 250).sum() * np.prod(case.ct.voxel_spacing) > 500


def test_a_body_much_lower_than_its_neighbours_is_left_out_without_a_grade():
    source = read(label_map(crushed="L3"))
    assert list(source.left_out) == ["L3"]
    assert "lower than expected" in source.left_out["L3"]


def test_the_border_of_the_map_ends_the_spine():
    whole = label_map()
    start = int(np.flatnonzero((whole.array == 23).any((1, 2)))[0]) + 6
    shape = (whole.shape[0] - start, *whole.shape[1:])
    geometry = geometry_from(shape[::-1], np.diag([1.0, 1.25, 1.5, 1]))
    source = read(Volume(whole.array[start:], geometry))
    assert source.ends == (True, False)
    case = paint_case(source, 1, PaintedSettings(fracture_probability=0.0))
    lowest = case.ct.affine[2, 3] - case.ct.voxel_spacing[0] / 2
    assert lowest >= -0.75 - 1e-4  # the lower edge of the map


def test_too_little_spine_is_refused():
    whole = label_map()
    with pytest.raises(UserError, match="fewer than two whole vertebrae"):
        read(whole, L2=1, L3=3)
    single = Volume(np.where(whole.array == 22, whole.array, 0), whole.geometry)
    with pytest.raises(UserError, match="fewer than two whole vertebrae"):
        read(single)
