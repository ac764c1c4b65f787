import json

from vfseg.report.curves import training_curves


def test_a_single_value_is_no_curve(tmp_path):
    lines = [{"step": 1, "train/loss": 1.0}, {"step": 2, "train/loss": float("nan")}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert training_curves(tmp_path / "metrics.jsonl", tmp_path / "curves") == []


def test_curves_share_a_picture_by_quantity_and_validation_comes_first(tmp_path):
    lines = [
        {"step": 1, "train/speed": 3.0, "train/loss": 1.0, "plain": 2.0, "once": 7.0},
        {"step": 2, "train/loss": float("nan"), "validation/loss": 0.5, "train/once": 7.0},
        {"step": 3, "train/loss": 0.9, "validation/loss": 0.4, "train/speed": 3.0, "plain": 1.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    curves = training_curves(tmp_path / "metrics.jsonl", tmp_path / "curves")
    assert [c.caption["en"] for c in curves] == [
        "Loss (train, validation)",
        "Speed (train)",
        "Plain (run)",
    ]
    assert [c.caption["ja"] for c in curves[:2]] == ["損失（学習、検証）", "Speed（学習）"]
    assert all("<svg" in c.path.read_text() for c in curves)
    assert training_curves(tmp_path / "none.jsonl", tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
