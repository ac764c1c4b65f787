from vfseg.report.result_curves import result_curves

CALIBRATION = {
    "temperature": {"value": 1.5},
    "reliability": [[0.1, 0.05, 900], [0.9, 0.7, 40]],
    "reliability_scaled": [[0.2, 0.15, 900], [0.8, 0.75, 40]],
}
FROC = [[0.0, 0.0], [0.0, 0.25], [0.5, 0.25], [0.5, 0.75], [2.0, 0.75]]


def test_both_curves_are_drawn_and_the_temperature_is_named(tmp_path):
    pictures = result_curves({"lesion": {"froc": FROC}, "calibration": CALIBRATION}, tmp_path)
    assert [p.path.name for p in pictures] == ["froc.svg", "reliability.svg"]
    froc, reliability = (p.path.read_text() for p in pictures)
    assert "<svg" in froc
    assert froc.count("<use") >= len(FROC)  # a marker a point
    assert "T = 1.50" in reliability
    assert pictures[0].path.read_text() == froc


def test_every_curve_has_its_points_and_the_names_of_its_axes(tmp_path):
    pr, roc = [[0.5, 1.0], [1.0, 0.25]], [[0.0, 0.0], [0.0, 0.5], [1.0, 1.0]]
    summary = {
        **{"voxel": {"pr_curve": pr}, "slice": {"pr_curve": pr[:1]}, "case": {"roc_curve": roc}},
        **{"vertebra": {"roc_curve": []}, "verdict": None},
        **{"lesion": {"froc": FROC}, "calibration": CALIBRATION},
    }
    pictures = {p.path.name: p for p in result_curves(summary, tmp_path)}
    axes = {
        "precision-recall.svg": ("recall", "precision", "voxels", "slices"),
        "roc.svg": ("1 - specificity", "sensitivity", "cases"),
        "froc.svg": ("false positives per case", "sensitivity"),
        "reliability.svg": ("mean probability", "fraction fractured"),
    }
    assert list(pictures) == list(axes)
    for name, words in axes.items():
        text = pictures[name].path.read_text()
        for word in words:
            assert f"<!-- {word} -->" in text, (name, word)
    assert "verdict" not in pictures["roc.svg"].path.read_text()
    caption = pictures["precision-recall.svg"].caption
    assert caption == {
        "en": "Precision over recall: voxels; slices",
        "ja": "適合率-再現率曲線：ボクセル、スライス",
    }


def test_what_is_not_known_is_not_drawn(tmp_path):
    assert result_curves({"lesion": None}, tmp_path) == []
    assert (
        result_curves({"lesion": {"froc": []}, "calibration": {"reliability": []}}, tmp_path) == []
    )
    assert not list(tmp_path.iterdir())
    raw = CALIBRATION | {"temperature": {"value": None}, "reliability_scaled": []}
    (picture,) = result_curves({"calibration": raw}, tmp_path)
    assert "T =" not in picture.path.read_text()
