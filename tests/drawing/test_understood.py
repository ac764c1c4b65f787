"""The picture of where the vertebrae are: which slices it shows, and that it shows all of them."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from vfseg.data.geometry import geometry_from
from vfseg.data.levels import Vertebra
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.drawing.hanging import HANGINGS
from vfseg.drawing.understood import draw_understood, middle_index

GRID = geometry_from((24, 30, 40), np.diag([2.0, 1.0, 1.5, 1.0]))  # stored: right, anterior, sup.
SAGITTAL = next(hanging for hanging in HANGINGS if hanging.name == "sagittal")


def vertebra(level, label, start, stop):
    middle = (np.array(start) + stop - 1) / 2
    return Vertebra(level, label, start, stop, middle, 1, 1.0)


VERTEBRAE = (
    vertebra("L1", 20, (26, 6, 4), (36, 20, 15)),
    vertebra("L2", 21, (12, 6, 4), (22, 20, 15)),
)


@pytest.fixture
def drawn(monkeypatch):
    """Names, rectangles and contours that panels are asked to draw."""
    seen = {"names": [], "boxes": [], "outlines": 0}
    text, add, contour = Axes.text, Axes.add_patch, Axes.contour

    def count(self, *arguments, **named):
        seen["outlines"] += 1
        return contour(self, *arguments, **named)

    def note(self, x, y, words, **named):
        seen["names"].append(words)
        return text(self, x, y, words, **named)

    def keep(self, patch):
        if isinstance(patch, Rectangle):
            seen["boxes"].append(patch)
        return add(self, patch)

    monkeypatch.setattr(Axes, "contour", count)
    monkeypatch.setattr(Axes, "text", note)
    monkeypatch.setattr(Axes, "add_patch", keep)
    return seen


def ct():
    return Volume(np.zeros(GRID.shape, np.int16), GRID)


def test_the_middle_is_the_median_of_the_bodies():
    off = vertebra("L3", 22, (2, 6, 0), (10, 20, 3))
    assert middle_index(Spine((*VERTEBRAE, off), None, (), ()), SAGITTAL, GRID.shape) == 9


def test_boxes_are_drawn_where_they_lie_in_mm(tmp_path, drawn):
    draw_understood("case", ct(), Spine(VERTEBRAE, None, (), ()), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 0
    for level in ("L1", "L2"):
        assert drawn["names"].count(level) == 2, "from the side and from the front"
    assert drawn["outlines"] == 0
    # Pictures run against d and h, from the centre of the last voxel: anterior is on the left.
    box = drawn["boxes"][0]
    assert (box.get_x(), box.get_y()) == ((29 - 19.5) * 1.0, (39 - 35.5) * 1.5)
    assert (box.get_width(), box.get_height()) == (14 * 1.0, 10 * 1.5)


def test_of_a_label_map_the_outlines_are_drawn(tmp_path, drawn):
    labels = np.zeros(GRID.shape, np.uint8)
    for one in VERTEBRAE:
        labels[one.box] = one.label
    spine = Spine(VERTEBRAE, Volume(labels, GRID), (20, 21), ())
    draw_understood("case", ct(), spine, tmp_path / "a.png")
    assert drawn["outlines"] == 4, "of two vertebrae, in two pictures"
    assert not drawn["boxes"]
