"""What is written comes back; lines of steps that were not saved go when a run resumes."""

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from tests.full_disk import no_file_beyond
from vfseg.errors import UserError
from vfseg.training.writer import MetricWriter, NoWriter, open_writer, read_metrics


def _events(workdir):
    """The events on disk; a record is its length (8 bytes), a sum (4), the event, a sum (4)."""
    (path,) = (workdir / "tensorboard").iterdir()
    content, events = path.read_bytes(), []
    while content:
        size = int.from_bytes(content[:8], "little")
        events.append(Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    return events


def test_lines_past_the_checkpoint_and_a_cut_one_are_dropped(tmp_path):
    writer = MetricWriter(tmp_path)
    for step in (1, 2, 3):
        writer.write(step, {"loss": 1.0 / step})
    writer.close()
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "lo')
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    writer = open_writer(tmp_path, resume_at=2, validated=True)
    writer.write(3, {"loss": 0.25})
    writer.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 0.5},
        {"step": 3, "loss": 0.25},
    ]


@pytest.mark.parametrize("validated", [True, False])
def test_a_validation_whose_score_was_not_kept_goes_for_it_will_be_made_again(tmp_path, validated):
    """The run ended between this line and the score of its checkpoint: step 4."""
    lines = [
        {"step": 2, "train/loss": 0.5},
        {"step": 2, "validation/pr_auc": 0.1},
        {"step": 4, "train/loss": 0.25},
        {"step": 4, "validation/pr_auc": 0.2},
    ]
    writer = MetricWriter(tmp_path)
    for line in lines:
        writer.write(line["step"], {name: line[name] for name in line if name != "step"})
    writer.close()
    open_writer(tmp_path, resume_at=4, validated=validated).close()
    assert read_metrics(tmp_path / "metrics.jsonl") == (lines if validated else lines[:3])


def test_another_number_in_a_line_is_noticed_and_lines_of_earlier_versions_are_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n')
    writer = MetricWriter(tmp_path, resume_at=1)
    writer.write(2, {"loss": 0.25})
    writer.close()
    assert read_metrics(path) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]
    path.write_text(path.read_text().replace("0.25", "0.75"))
    with pytest.raises(UserError, match=r"metrics\.jsonl: damaged \(line 2: not as it was"):
        read_metrics(path)


def test_events_are_on_disk_before_the_run_goes_on(tmp_path):
    """So a killed run has its curves; what one before it logged further on is hidden."""
    writer = MetricWriter(tmp_path, resume_at=6)
    many = {f"train/{number}": float(number) for number in range(100)}
    writer.write(7, many)
    _, start, *scalars = _events(tmp_path)
    assert (start.step, start.session_log.status) == (7, SessionLog.START)
    assert {event.step for event in scalars} == {7}
    found = {event.summary.value[0].tag: event.summary.value[0].simple_value for event in scalars}
    assert found == many
    writer.close()


def test_a_full_disk_is_one_message(tmp_path):
    """And the run ends with it: closing what cannot be written says nothing else."""
    writer, many = MetricWriter(tmp_path), {f"train/{number}": 0.5 for number in range(100)}
    with no_file_beyond(1000), pytest.raises(UserError, match=r"cannot be written .*Make room"):
        writer.write(1, many)
    with no_file_beyond(1000):
        writer.close()


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
    monkeypatch.setattr("vfseg.processes.is_first", lambda: False)
    writer = open_writer(tmp_path, resume_at=0, validated=True)
    assert isinstance(writer, NoWriter)
    writer.write(1, {"loss": 1.0})
    writer.write_image(1, "slices", np.zeros((2, 2, 3), np.uint8))
    writer.close()
    assert not list(tmp_path.iterdir())
