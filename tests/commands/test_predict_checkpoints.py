"""Mode `predict` with checkpoints that this version cannot read: each is named."""

import shutil
from pathlib import Path

import pytest

from tests.cohort import tiny_config
from tests.commands.test_predict import run, save_model, write_case
from vfseg.config.recipe import initial_state
from vfseg.errors import UserError
from vfseg.training.checkpoints import Checkpoints


@pytest.mark.parametrize("missing", ["inference", "windows"])
def test_a_checkpoint_of_another_version_is_named(tmp_path, missing):
    config = tiny_config()
    state = initial_state(config)
    other = {name: value for name, value in config.to_dict().items() if name != missing}
    checkpoints = Checkpoints(tmp_path / "checkpoints", create=True)
    checkpoints.save(state, next_sample=0, config=other)
    checkpoints.score(0, 0.5)
    ct, labels, _ = write_case(tmp_path)
    with pytest.raises(UserError, match=f"written by another version of this program .*{missing}"):
        run(ct, tmp_path / "out", tmp_path / "checkpoints", vertebrae=labels)


def test_a_checkpoint_of_other_networks_than_its_config_is_named(tmp_path):
    """The arrays of one run under the config of another one, from before there were digests."""
    small, large = tmp_path / "small", tmp_path / "large"
    for folder, features in ((small, (4, 8)), (large, (8, 16))):
        folder.mkdir()
        save_model(folder, **{"generator.features": features})
    state = Path("checkpoints", "0", "state")
    shutil.rmtree(small / state)
    shutil.copytree(large / state, small / state)
    (small / "checkpoints" / "0" / "digests.json").unlink()
    ct, labels, _ = write_case(tmp_path)
    with pytest.raises(UserError, match=r"has shape .* in the checkpoint"):
        run(ct, tmp_path / "out", small / "checkpoints", vertebrae=labels)
