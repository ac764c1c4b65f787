"""The score of a checkpoint decides which is the best: damage to it decides nothing."""

import pytest

from vfseg.digests import DIGESTS, write_digests
from vfseg.errors import UserError
from vfseg.training.checkpoints import Checkpoints


@pytest.fixture
def checkpoints(tmp_path):
    """Of steps 1, the best, and 2; what else a checkpoint holds is not looked at."""
    opened = Checkpoints(tmp_path, create=True)
    for step, score in ((1, 0.7), (2, 0.5)):
        folder = tmp_path / str(step)
        folder.mkdir()
        (folder / "state").write_text("arrays")
        write_digests(folder)
        opened.score(step, score)
    assert opened.best == 1
    return opened


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text(path.read_text().replace("0.7", "0.1")),
        lambda path: path.write_bytes((path.parents[1] / "2" / path.name).read_bytes()),
    ],
    ids=["deleted", "emptied", "another number", "of another checkpoint"],
)
def test_a_score_that_is_not_as_it_was_written_is_damage(checkpoints, tmp_path, change):
    change(tmp_path / "1" / "validation.json")
    with pytest.raises(UserError, match=r"1: this checkpoint is damaged .*validation\.json"):
        _ = checkpoints.best


def test_a_checkpoint_of_an_earlier_version_has_a_score_without_a_digest(checkpoints, tmp_path):
    (tmp_path / "1" / DIGESTS).unlink()
    assert checkpoints.best == 1


def test_a_run_that_ended_between_a_score_and_its_digest_keeps_the_score(checkpoints, tmp_path):
    (tmp_path / "2" / "validation.json").unlink()
    write_digests(tmp_path / "2")
    (tmp_path / "2" / "validation.json").write_text('{"pr_auc": 0.9}')
    assert checkpoints.best == 2


def test_another_score_takes_the_place_of_the_first(checkpoints):
    checkpoints.score(2, 0.8)
    assert checkpoints.best == 2


@pytest.mark.parametrize("content", ["", "{", "{}", '{"pr_auc": null}', '{"pr_auc": 1.5}', "3"])
def test_what_is_no_score_is_named(checkpoints, tmp_path, content):
    (tmp_path / "1" / "validation.json").write_text(content)
    (tmp_path / "1" / DIGESTS).unlink()
    with pytest.raises(UserError, match=r"1: this checkpoint is damaged .* Delete"):
        _ = checkpoints.best
