import dataclasses

import numpy as np
from matplotlib import image

from tests.report.scene import make_scene
from vfseg.report import spine_picture
from vfseg.report.solids import build_solids
from vfseg.report.spine_picture import draw_spine


def test_picture_shows_ivory_bone_and_a_red_fracture_in_both_views(tmp_path):
    scene = dataclasses.replace(make_scene(), title="a$_b$", threshold=0.7)
    picture = draw_spine(scene, build_solids(scene), tmp_path / "x" / "s.png")
    assert picture.tall
    pixels = image.imread(picture.path)[..., :3]
    red = (pixels[..., 0] > 0.5) & (pixels[..., 1] < 0.4)
    ivory = pixels.min(axis=-1) > 0.4
    for half in (slice(None, pixels.shape[1] // 2), slice(pixels.shape[1] // 2, None)):
        assert red[:, half].sum() > 100
        assert ivory[:, half].sum() > 500
    # The sheet lies in L1, the upper of the two vertebrae.
    assert np.argwhere(red)[:, 0].max() < np.argwhere(ivory)[:, 0].mean()


def test_a_single_voxel_is_seen_in_both_views(tmp_path):
    """The false alarm, in L2, the lower of the two vertebrae; it is 1.5 x 1 x 2 mm large."""
    scene = make_scene()
    alone = np.where(scene.probability > 0.8, 0, scene.probability)
    scene = dataclasses.replace(scene, probability=alone, threshold=0.6)
    picture = draw_spine(scene, build_solids(scene), tmp_path / "s.png")
    pixels = image.imread(picture.path)[..., :3]
    red = (pixels[..., 0] > 0.5) & (pixels[..., 1] < 0.6 * pixels[..., 0])
    middle = pixels.shape[0] // 2
    assert not red[:middle].any()
    for half in np.array_split(red[middle:], 2, axis=1):
        assert half.any()


def test_where_nothing_is_predicted_it_does_not_say_so(tmp_path, monkeypatch):
    said = []
    write = spine_picture.write_line
    monkeypatch.setattr(
        spine_picture, "write_line", lambda *line: (said.append(line[2]), write(*line))
    )
    for threshold, words in ((0.7, "predicted fracture, probability ≥ 0.70"), (0.95, "nothing of")):
        scene = dataclasses.replace(make_scene(), threshold=threshold)
        picture = draw_spine(scene, build_solids(scene), tmp_path / "s.png")
        assert words in said[0]
        assert ("fracture" in said.pop(0)) == ("predicted fracture" in picture.caption["en"])
        said.clear()
    assert picture.caption == {
        "en": "Bone, and nothing of probability ≥ 0.95.",
        "ja": "骨のみ。確率 0.95 以上の部分はない。",
    }
