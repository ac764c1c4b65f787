"""Whatever is missing or broken in a checkpoint is one message that names its folder."""

import gc
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from tests.cohort import tiny_config, write_store
from tests.full_disk import no_file_beyond
from vfseg.config import recipe
from vfseg.config.model import load_trained, open_model
from vfseg.config.recipe import initial_state, training_plan
from vfseg.errors import UserError
from vfseg.inference.thresholds import Thresholds, save_thresholds
from vfseg.training import loop
from vfseg.training.checkpoints import Checkpoints

# Where one read fails, Orbax abandons the others, and they complain when they are collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected(quick_collection):
    """Collects what a test leaves, so that it does not complain in another module."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def state():
    return initial_state(tiny_config())


@pytest.fixture(scope="module")
def intact(tmp_path_factory, state):
    """A workdir with the checkpoints of step 1, the best, and of step 2."""
    workdir = tmp_path_factory.mktemp("intact")
    checkpoints = Checkpoints(workdir / "checkpoints", create=True)
    for step, score in ((1, 0.7), (2, 0.5)):
        _save(checkpoints, state, step)
        checkpoints.score(step, score)
    return workdir


def _save(checkpoints, state, step):
    saved = state.replace(step=np.int32(step))
    checkpoints.save(saved, next_sample=4 * step, config=tiny_config().to_dict())


@pytest.fixture
def workdir(tmp_path, intact):
    """A copy to be damaged."""
    return shutil.copytree(intact, tmp_path / "w")


def _cut_arrays(folder):
    """All of them: which of the files Orbax will read is not for us to know."""
    for path in (folder / "state").rglob("d/*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip_a_bit(folder):
    """In the largest of its files: one of arrays."""
    path = max((folder / "state").rglob("*"), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES = {
    "arrays cut": _cut_arrays,
    "no arrays": lambda folder: shutil.rmtree(folder / "state"),
    "no names of the arrays": lambda folder: (folder / "state" / "_METADATA").unlink(),
    "no index of the arrays": lambda folder: (folder / "state" / "manifest.ocdbt").unlink(),
    "no metadata": lambda folder: (folder / "_CHECKPOINT_METADATA").unlink(),
    "metadata empty": lambda folder: (folder / "_CHECKPOINT_METADATA").write_text(""),
    "metadata bare": lambda folder: (folder / "_CHECKPOINT_METADATA").write_text("{}"),
    "a bit flipped": _flip_a_bit,
    "nothing in it": _empty,
}


def test_an_emptied_checkpoint_has_no_score_and_another_one_is_the_best(workdir):
    _empty(workdir / "checkpoints" / "1")
    assert load_trained(workdir / "checkpoints").step == 2


SCORED = {name: damage for name, damage in DAMAGES.items() if damage is not _empty}


@pytest.mark.parametrize("damage", SCORED.values(), ids=SCORED)
def test_a_damaged_checkpoint_is_named_when_it_is_loaded(workdir, damage):
    damage(workdir / "checkpoints" / "1")
    with pytest.raises(UserError, match=r"checkpoints/1: this checkpoint is damaged .* Delete"):
        load_trained(workdir / "checkpoints")


def _resume(workdir, steps=2):
    config = tiny_config(**{"stages.recurrent": steps, "stages.adversarial": 0})
    records = write_store(workdir / "store", config)
    plan = training_plan(config)
    loop.train(plan, workdir, workdir / "store", records, lambda _: {"pr_auc": 0.5})


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_where_the_newest_is_damaged_the_one_before_is_taken_and_said(workdir, damage, caplog):
    damage(workdir / "checkpoints" / "2")
    checkpoints = Checkpoints(workdir / "checkpoints", create=True)
    assert checkpoints.newest_intact() == 1
    assert not list((workdir / "checkpoints").glob("damaged-*")), "only training sets it aside"
    assert checkpoints.resume() == 1
    said = [record.getMessage() for record in caplog.records]
    assert any("step 2 is damaged" in text and "going on from step 1" in text for text in said)
    assert checkpoints.newest == 1
    assert (workdir / "checkpoints" / "damaged-2").is_dir()


def test_training_goes_on_from_the_one_before_the_damaged_one(workdir):
    """It writes the damaged step anew, and a checkpoint damaged again is set aside again."""
    for _ in range(2):
        _flip_a_bit(workdir / "checkpoints" / "2")
        _resume(workdir)
        checkpoints = Checkpoints(workdir / "checkpoints")
        assert checkpoints.newest_intact() == checkpoints.newest == 2


def test_where_each_is_damaged_none_is_begun_anew(workdir):
    for step in ("1", "2"):
        _flip_a_bit(workdir / "checkpoints" / step)
    with pytest.raises(UserError, match=r"checkpoints/2: this checkpoint is damaged .* Delete"):
        _resume(workdir)
    assert {path.name for path in (workdir / "checkpoints").iterdir()} == {"1", "2"}


def _files(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "validation.json")


def test_a_bit_flipped_in_any_file_of_a_checkpoint_is_noticed(workdir, state):
    """Also in those that Orbax reads without noticing anything."""
    folder, checkpoints = workdir / "checkpoints" / "2", Checkpoints(workdir / "checkpoints")
    files = _files(folder)
    assert len(files) > 3
    for path in files:
        whole = path.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1} if whole else ():
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(UserError, match="2: this checkpoint is damaged"):
                checkpoints.restore(2, state)
            with pytest.raises(UserError, match="2: this checkpoint is damaged"):
                checkpoints.restore_mean(2, state.ema_params)
        path.write_bytes(whole)
    assert checkpoints.restore(2, state).next_sample == 8


def test_a_file_missing_or_of_another_checkpoint_is_noticed(workdir, state):
    one, two = (workdir / "checkpoints" / step for step in ("1", "2"))
    for path in _files(two):
        whole = path.read_bytes()
        path.unlink()
        if path.name != "digests.json":
            assert Checkpoints(one.parent).newest_intact() == 1
        path.write_bytes(whole)
    assert Checkpoints(one.parent).newest_intact() == 2
    shutil.rmtree(two)
    shutil.copytree(one, two)
    with pytest.raises(UserError, match=r"2: this checkpoint is damaged .*it holds step 1"):
        Checkpoints(one.parent).restore(2, state)


def test_a_checkpoint_of_an_earlier_version_has_no_digests_and_serves(workdir, state):
    (workdir / "checkpoints" / "2" / "digests.json").unlink()
    checkpoints = Checkpoints(workdir / "checkpoints")
    assert checkpoints.newest_intact() == 2
    assert checkpoints.restore(2, state).next_sample == 8


def test_all_of_a_checkpoint_is_synced_before_it_gets_its_name(tmp_path, state, monkeypatch):
    events, fsync, rename = [], os.fsync, Path.rename

    def watched(descriptor):
        events.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def renamed(path, target):
        events.append(f"{path} -> {target}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", watched)
    monkeypatch.setattr(Path, "rename", renamed)
    folder = tmp_path / "checkpoints"
    _save(Checkpoints(folder, create=True), state, 1)
    part = folder / ".part-1"
    place = events.index(f"{part} -> {folder / '1'}")
    written = {str(part / path.relative_to(folder / "1")) for path in _files(folder / "1")}
    named = {text.replace(f".digests.json.{os.getpid()}.part", "digests.json") for text in events}
    assert written <= named
    assert all(events.index(path) < place for path in written if "digests" not in path)
    assert events.index(str(folder), place) > place


def test_without_the_damaged_one_the_older_one_serves(workdir, state):
    """What the message advises works."""
    shutil.rmtree(workdir / "checkpoints" / "2")
    checkpoints = Checkpoints(workdir / "checkpoints", create=True)
    assert checkpoints.newest == 1
    assert checkpoints.restore(1, state).next_sample == 4


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"generator.features": (4, 8, 8)}, "(g|ema)_params/.*"),  # leaves that it lacks
        ({"windows.length": 1}, "(g|ema)_params/.*"),  # leaves that only the checkpoint has
    ],
)
def test_other_networks_are_no_damage(workdir, changes, name):
    checkpoints = Checkpoints(workdir / "checkpoints")
    with pytest.raises(UserError, match=rf"{name} has shape .* config that wrote it"):
        checkpoints.restore(1, initial_state(tiny_config(**changes)))


def test_the_mean_alone_is_read(workdir, state, monkeypatch):
    """Its arrays are those of the whole checkpoint; no other array is asked for."""
    checkpoints, asked = Checkpoints(workdir / "checkpoints"), []
    load = ocp.load
    monkeypatch.setattr(ocp, "load", lambda where, tree: asked.append(tree) or load(where, tree))
    found = checkpoints.restore_mean(1, state.ema_params)
    assert [list(tree["state"]) for tree in asked] == [["ema_params"]]
    whole = checkpoints.restore(1, state).state.ema_params
    jax.tree.map(np.testing.assert_array_equal, found, whole)


def test_a_model_is_opened_without_discriminator_and_optimisers(workdir, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a state of training was made")

    save_thresholds(workdir / "checkpoints", 1, THRESHOLDS, "mean")
    monkeypatch.setattr(recipe, "create_state", never)
    monkeypatch.setattr(recipe, "Discriminator", never)
    monkeypatch.setattr(recipe, "adam", never)
    assert open_model(workdir).steps == (1,)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be kept here"):
        Checkpoints(tmp_path / "file" / "checkpoints", create=True)


THRESHOLDS = Thresholds(slice=0.25, fused=0.75, vertebra=0.1, vertebra_rule="Youden index")


@pytest.mark.parametrize(
    ("named", "step"), [("", 1), ("checkpoints", 1), ("checkpoints/1", 1), ("checkpoints/2", 2)]
)
def test_a_workdir_its_checkpoints_or_one_of_them_can_be_named(workdir, named, step):
    save_thresholds(workdir / "checkpoints", step, THRESHOLDS, "mean")
    model = open_model(workdir / named)
    assert model.steps == (step,)
    assert model.thresholds == THRESHOLDS


def test_a_workdir_may_be_called_by_a_number(workdir):
    moved = workdir.rename(workdir.parent / "7")
    assert load_trained(moved).step == 1


def test_the_best_validated_and_the_newest_three_are_kept(tmp_path, state):
    """A checkpoint without a score yet is kept as a new one, never as the best beside a score."""
    folder = tmp_path / "checkpoints"
    checkpoints = Checkpoints(folder, create=True)
    assert (checkpoints.newest, checkpoints.best) == (None, None)
    for step, score, kept in (
        (1, None, {1}),
        (2, 0.5, {1, 2}),
        (3, None, {1, 2, 3}),
        (4, 0.4, {2, 3, 4}),
        (5, 0.3, {2, 3, 4, 5}),
        (6, None, {2, 4, 5, 6}),
        (7, 0.5, {5, 6, 7}),  # as good, and newer
        (8, None, {6, 7, 8}),
    ):
        _save(checkpoints, state, step)
        if score is not None:
            checkpoints.score(step, score)
        assert {int(path.name) for path in folder.iterdir()} == kept
        assert checkpoints.is_scored(step) == (score is not None)
        assert checkpoints.newest == step


def test_a_full_disk_is_one_message_and_what_stands_stays(tmp_path, state, capfd):
    """No file beyond 100 kB can be written: the error is another one, the way the same."""
    folder = tmp_path / "checkpoints"
    checkpoints = Checkpoints(folder, create=True)
    _save(checkpoints, state, 1)
    message = r"checkpoint of step 2 cannot be written \(File too large\)\. Make room"
    with no_file_beyond(100_000), pytest.raises(UserError, match=message):
        _save(checkpoints, state, 2)
    assert {path.name for path in folder.iterdir()} == {"1"}
    assert checkpoints.restore(1, state).next_sample == 4
    assert not capfd.readouterr().err, "Orbax has begun nothing that it then abandons"
    _save(checkpoints, state, 2)
    assert checkpoints.newest == 2, "with room, the same goes well"


def test_a_disk_that_fills_while_orbax_writes_is_the_same_message(tmp_path, state, monkeypatch):
    """Orbax makes what it likes of it; this is its message on a full disk, cut."""

    def full(*_, **__):
        raise ValueError("RESOURCE_EXHAUSTED: Error opening driver: No space left on device")

    checkpoints = Checkpoints(tmp_path / "checkpoints", create=True)
    _save(checkpoints, state, 1)
    monkeypatch.setattr(ocp, "save", full)
    with pytest.raises(UserError, match=r"step 2 cannot be written .*No space left .*Make room"):
        _save(checkpoints, state, 2)
    assert checkpoints.newest == 1


def test_what_a_killed_run_left_is_cleared_away_by_the_next(workdir):
    folder = workdir / "checkpoints"
    for name in (".part-3", ".part-3.orbax-checkpoint-tmp", ".gone-1"):
        shutil.copytree(folder / "1", folder / name)
    assert Checkpoints(folder).newest == 2
    assert len(list(folder.iterdir())) == 5, "a reader changes nothing"
    assert Checkpoints(folder, create=True).newest == 2
    assert {path.name for path in folder.iterdir()} == {"1", "2"}
