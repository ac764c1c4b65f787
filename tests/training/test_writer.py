"""What is written comes back; lines of steps that were not saved go when a run resumes."""

import numpy as np

from vfseg.training.writer import MetricWriter, NoWriter, open_writer, read_metrics


def test_lines_past_the_checkpoint_and_a_cut_one_are_dropped(tmp_path):
    writer = MetricWriter(tmp_path)
    for step in (1, 2, 3):
        writer.write(step, {"loss": 1.0 / step})
    writer.close()
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    writer = open_writer(tmp_path, resume_at=2)
    writer.write(3, {"loss": 0.25})
    writer.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 0.5},
        {"step": 3, "loss": 0.25},
    ]


def test_a_picture_reaches_tensorboard(tmp_path):
    """As a PNG under its name."""
    writer = MetricWriter(tmp_path)
    writer.write_image(7, "validation/slices", np.full((4, 6, 3), 200, np.uint8))
    writer.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    content = events.read_bytes()
    assert b"validation/slices" in content
    assert b"\x89PNG" in content


def test_other_processes_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("vfseg.training.processes.is_first", lambda: False)
    writer = open_writer(tmp_path, resume_at=0)
    assert isinstance(writer, NoWriter)
    writer.write(1, {"loss": 1.0})
    writer.write_image(1, "slices", np.zeros((2, 2, 3), np.uint8))
    writer.close()
    assert not list(tmp_path.iterdir())
