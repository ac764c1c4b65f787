"""Every reader that `tests.faults.fuzz` tries, with damage drawn from a seed: the short form.

`VFSEG_FAULTS=3000 pytest -n0 tests/faults/test_targets.py` tries as many inputs of each reader.
"""

import os
import zlib
from collections import Counter

import numpy as np
import pytest
from absl import logging

from tests.faults.attempts import MESSAGE, VALUE, bounded, outcome
from tests.faults.mutations import WAYS
from tests.faults.targets import TARGETS

INPUTS = int(os.environ.get("VFSEG_FAULTS", "16"))
SLOW = {"model_config": 4, "workdir_config": 2, "zarr_json": 2}
"""Readers that take long, and by how much fewer inputs they are tried."""


@pytest.fixture(autouse=True)
def _no_warnings():
    """What is left out of an input is no news here."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    yield
    logging.set_verbosity(before)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore")
def test_a_value_or_a_clear_message(name, tmp_path):
    target = TARGETS[name](tmp_path)
    assert outcome(target, target.seeds[0]) == VALUE
    tried: Counter[str] = Counter()
    wrong = []
    with bounded():
        for trial in range(INPUTS // SLOW.get(name, 1)):
            rng = np.random.default_rng([zlib.crc32(name.encode()), trial])
            data = target.seeds[rng.integers(len(target.seeds))]
            for _ in range(rng.integers(1, 4)):
                data = WAYS[rng.integers(len(WAYS))](data, rng) if data else data
            result = outcome(target, data)
            tried[result] += 1
            if result not in (VALUE, MESSAGE):
                wrong.append(f"trial {trial} of {name}: {result}")
    print(f"{name}: {dict(tried)}")
    assert not wrong, "\n".join(wrong)
