import dataclasses

import numpy as np
import pytest
from matplotlib import image
from matplotlib.text import Text

from tests.report.scene import make_scene, without_spine
from vfseg.drawing.hanging import HANGINGS
from vfseg.report.figures import PROBABILITY_COLOURS, draw_place, overlay_figures
from vfseg.report.foci import find_foci
from vfseg.report.scene import Reference


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    scene = dataclasses.replace(make_scene(), title="case $<_1>$")
    return scene, overlay_figures(scene, tmp_path_factory.mktemp("report") / "case-1")


def test_each_place_gets_three_planes_with_what_is_known_of_it(drawn):
    _, pictures = drawn
    names = [picture.path.name for picture in pictures]
    planes = ("axial", "sagittal", "coronal")
    assert names == [f"place-{n}-{plane}.png" for n in (1, 2) for plane in planes]
    # 2 x 18 x 16 voxels of 3 mm3.
    assert "Sagittal plane, L1: reference lesion of 1.73 mL" in pictures[1].caption
    assert "highest probability on it 0.90 (threshold 0.41)" in pictures[1].caption
    assert pictures[3].caption == "Axial plane, L2: predicted peak, probability 0.60."


def test_the_heat_map_is_in_the_middle_panel_only_and_the_left_panel_is_plain_ct(drawn):
    _, pictures = drawn
    for picture in pictures[:3]:
        pixels = image.imread(picture.path)[..., :3]
        warm = (pixels[..., 0] > 0.5) & (pixels[..., 2] < 0.4) & (pixels[..., 1] < 0.75)
        thirds = np.array_split(warm[60:-40, :-110], 3, axis=1)
        assert thirds[1].sum() > 20 * max(1, thirds[0].sum())


def first_focus(scene):
    instances = None if scene.reference is None else scene.reference.instances
    spacing = scene.ct.voxel_spacing
    return find_foci(scene.probability, instances, scene.threshold, spacing, 1)[0]


def test_pixels_are_millimetres():
    """48 x 1.5 mm by 60 x 1 mm sagittally: panels of that aspect, whatever the voxel counts."""
    scene = make_scene()
    for hanging, size in zip(HANGINGS, ((60.0, 72.0), (72.0, 60.0), (72.0, 72.0))):
        figure = draw_place(scene, first_focus(scene), hanging)
        for panel in figure.axes[:3]:
            assert panel.get_aspect() == 1.0
            left, right, bottom, top = panel.images[0].get_extent()
            assert (bottom - top, right - left) == size
            inches = panel.get_position().size * figure.get_size_inches()
            assert inches[1] / inches[0] == pytest.approx(size[0] / size[1])


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]


def test_what_every_picture_says():
    scene = dataclasses.replace(make_scene(), title="case <1>", reference=None)
    for hanging in HANGINGS:
        said = texts(draw_place(scene, first_focus(scene), hanging))
        assert set(hanging.letters) <= set(said)
        assert {"fracture probability", "20 mm"} <= set(said)
        assert f"case <1>   L1   {hanging.name}" in said
        assert ("L1" in said) == (hanging.name != "axial")
        assert any(text.startswith("Research use only.") for text in said)
        assert not any("truth" in text.lower() for text in said)


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_reference_is_named_and_a_synthetic_one_called_so(synthetic):
    scene = make_scene()
    reference = Reference(scene.reference.instances, synthetic)
    scene = dataclasses.replace(scene, reference=reference)
    said = texts(draw_place(scene, first_focus(scene), HANGINGS[0]))
    assert ("synthetic truth" in said, "truth" in said) == (synthetic, not synthetic)
    assert any("Truth is synthetic." in text for text in said) == synthetic


def test_colours_grow_opaque_with_probability():
    opacity = PROBABILITY_COLOURS(np.linspace(0, 1, 101))[:, 3]
    assert (np.diff(opacity) >= 0).all()
    assert (opacity[:5] == 0).all()
    assert opacity[50:].min() > 0.8
    brightness = PROBABILITY_COLOURS(np.linspace(0, 1, 101))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) > -1e-3).all()


def test_no_file_is_written_for_a_map_of_zeros(tmp_path):
    scene = make_scene()
    empty = np.zeros_like(scene.probability)
    scene = dataclasses.replace(without_spine(scene), probability=empty, reference=None)
    assert overlay_figures(scene, tmp_path) == []
    assert list(tmp_path.iterdir()) == []
