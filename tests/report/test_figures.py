import dataclasses

import numpy as np
import pytest
from matplotlib import image
from matplotlib.text import Text

from tests.report.scene import make_scene, without_spine
from vfseg.data.geometry import geometry_from
from vfseg.drawing.hanging import HANGINGS
from vfseg.report import figures
from vfseg.report.figures import PROBABILITY_COLOURS, draw_midline, draw_place, overlay_figures
from vfseg.report.foci import find_foci
from vfseg.report.scene import Reference


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    scene = dataclasses.replace(make_scene(), title="case $<_1>$")
    return scene, overlay_figures(scene, tmp_path_factory.mktemp("report") / "case-1", {})


def test_each_place_gets_three_planes_with_what_is_known_of_it(drawn):
    _, pictures = drawn
    names = [picture.path.name for picture in pictures]
    planes = ("axial", "sagittal", "coronal")
    places = [f"place-{n}-{plane}.png" for n in (1, 2) for plane in planes]
    assert names == ["midline.png", *places]
    # 2 x 18 x 16 voxels of 3 mm3.
    assert "Sagittal, i = 17, L1: reference lesion of 1.73 mL" in pictures[2].caption["en"]
    assert "highest probability on it 0.90 (threshold 0.41)" in pictures[2].caption["en"]
    # The peak at (d, h, w) = (14, 40, 12): k, j and i of a file with the axes R, A, S.
    assert pictures[4].caption == {
        "en": "Axial, k = 14, L2: predicted peak, probability 0.60.",
        "ja": "軸位断、k = 14、L2：予測の極大、確率 0.60。",
    }
    assert pictures[6].caption["en"] == "Coronal, j = 40, L2: predicted peak, probability 0.60."


def test_places_in_the_surest_vertebrae_come_first(tmp_path):
    scene = make_scene()
    pictures = overlay_figures(scene, tmp_path, {"L1": 0.2, "L2": 0.7})
    places = [picture for picture in pictures if picture.path.name.startswith("place-")]
    assert [("L2" in p.caption["en"], "L1" in p.caption["en"]) for p in places] == (
        [(True, False)] * 3 + [(False, True)] * 3
    )


def test_without_a_reference_the_surest_vertebra_is_shown_whatever_its_peak(tmp_path, monkeypatch):
    """Two higher peaks in L2, 44 mm apart, do not take both places."""
    scene = make_scene()
    probability = np.zeros(scene.ct.shape, np.float32)
    probability[10, 26, 9], probability[20, 48, 27], probability[36, 40, 15] = 0.9, 0.8, 0.6
    scene = dataclasses.replace(scene, probability=probability, reference=None)
    monkeypatch.setattr(figures, "write_png", lambda figure, path: None)
    pictures = overlay_figures(scene, tmp_path, {"L1": 0.95, "L2": 0.5})
    captions = [p.caption["en"] for p in pictures if p.path.name.startswith("place-")]
    assert len(captions) == 6
    assert ["L1: predicted peak, probability 0.60" in one for one in captions] == [True] * 3 + [
        False
    ] * 3
    assert all("L2: predicted peak, probability 0.90" in one for one in captions[3:])


def test_the_spine_comes_first_along_the_middle_of_its_bodies(drawn):
    """L2's body 6 voxels further to the right: its rows show what lies there."""
    scene, _ = drawn
    upper, lower = scene.spine.vertebrae
    moved = dataclasses.replace(lower, centre=lower.centre + np.array([0, 0, 6]))
    ct = np.full(scene.ct.shape, -300, np.int16)
    for vertebra, hu in ((upper, 500), (moved, 700)):
        ct[vertebra.start[0] : vertebra.stop[0], :, round(vertebra.centre[2])] = hu
    scene = dataclasses.replace(
        scene,
        ct=dataclasses.replace(scene.ct, array=ct),
        spine=scene.spine._replace(vertebrae=(upper, moved)),
    )
    figure = draw_midline(scene)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    rows = len(scene.ct.array)  # 25 mm around the vertebrae are more than there is
    assert shown.shape == scene.ct.shape[:2]
    for vertebra, hu in ((upper, 500), (moved, 700)):
        middle = rows - 1 - round(float(vertebra.centre[0]))
        assert (shown[middle] == hu).all()
    assert {"L1", "L2", "S", "I", "A", "P"} <= set(texts(figure))


def test_slice_numbers_are_those_of_the_file_whatever_its_axes():
    """Stored as (h, w, d), h and d backwards: the sheet's middle voxel by its stored index."""
    scene = make_scene()
    focus = first_focus(scene)
    affine = np.zeros((4, 4))
    affine[1, 0], affine[0, 1], affine[2, 2], affine[3, 3] = -1.0, 2.0, -1.5, 1.0
    d, h, w = scene.ct.shape
    geometry = geometry_from((h, w, d), affine)
    ct = dataclasses.replace(scene.ct, geometry=geometry)
    stored = {"axial": ("k", d - 1 - focus.point[0]), "coronal": ("i", h - 1 - focus.point[1])}
    stored["sagittal"] = ("j", focus.point[2])
    array = np.zeros(scene.ct.shape, bool)
    array[focus.point] = True
    index = dict(zip("ijk", np.argwhere(geometry.to_stored(array))[0].tolist()))
    for hanging in HANGINGS:
        axis, at = stored[hanging.name]
        assert index[axis] == at
        said = texts(draw_place(dataclasses.replace(scene, ct=ct), focus, hanging))
        assert any(text.endswith(f"{hanging.name}, {axis} = {at}") for text in said)


def test_what_stays_below_the_threshold_is_no_finding(tmp_path):
    scene = dataclasses.replace(make_scene(), threshold=0.95, reference=None)
    said = texts(draw_place(scene, first_focus(scene), HANGINGS[1]))
    assert any(text.endswith("below the threshold: no finding") for text in said)
    assert "none ≥ 0.95" in said
    assert not any(text.startswith("prediction") for text in said)
    places = [p for p in overlay_figures(scene, tmp_path, {}) if p.path.name != "midline.png"]
    assert len(places) == 3
    for place in places:
        assert (
            "no finding. The highest probability of the case, 0.90, is below" in place.caption["en"]
        )


def test_no_title_is_cut_off():
    scene = dataclasses.replace(make_scene(), title="a long name of a case " * 12)
    for figure in (draw_place(scene, first_focus(scene), HANGINGS[0]), draw_midline(scene)):
        right = figure.bbox.width
        figure.canvas.draw()
        for text in figure.texts:
            assert text.get_window_extent().x1 <= right, text.get_text()


def test_the_heat_map_is_in_the_middle_panel_only_and_the_left_panel_is_plain_ct(drawn):
    _, pictures = drawn
    for picture in pictures[1:4]:
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
        assert any(text.startswith(f"case <1>   L1   {hanging.name}, ") for text in said)
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
    assert overlay_figures(scene, tmp_path, {}) == []
    assert list(tmp_path.iterdir()) == []
