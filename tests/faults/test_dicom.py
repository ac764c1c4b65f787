"""Damaged DICOM series: each is read, without loss of what is sound, or refused with a message.

The short form tries `SHORT` series, `VFSEG_FAULTS=10000 pytest tests/faults/test_dicom.py` as many
as it says.
"""

import os
import re
import shutil
from collections import Counter

import pytest

from tests.faults.dicom_mutations import write_series
from vfseg.data.volume import read_ct
from vfseg.errors import UserError

SHORT = 200
AT_ONCE = 100


def outcome(folder, seed):
    """What reading a damaged series gave: "right", "message", or what is wrong."""
    array, sound = write_series(folder, seed)
    try:
        ct = read_ct(folder)
    except UserError as error:
        text = str(error)
        told = text.startswith(str(folder)) and len(re.split(r"\. |\n", text.rstrip())) > 1
        return "message" if told else f"a message without place or remedy: {text}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    stored = ct.geometry.to_stored(ct.array)
    if not sound:  # all are damaged, in the same way: nothing is known about their values
        return "right"
    if stored.shape[:2] != array.shape[:2]:
        return f"shape {stored.shape}"
    found = [stored[..., index].tobytes() for index in range(stored.shape[2])]
    places = [
        found.index(content) if (content := array[..., index].tobytes()) in found else -1
        for index in sound
    ]
    kept = -1 not in places and places == sorted(places)
    return "right" if kept else f"sound slices lost or out of order: {places}"


@pytest.mark.parametrize("first", range(0, int(os.environ.get("VFSEG_FAULTS", SHORT)), AT_ONCE))
def test_damaged_series(first, tmp_path, capsys):
    seeds = range(first, min(first + AT_ONCE, int(os.environ.get("VFSEG_FAULTS", SHORT))))
    tried: Counter[str] = Counter()
    wrong = []
    for seed in seeds:
        folder = tmp_path / str(seed)
        result = outcome(folder, seed)
        tried[result if result in ("right", "message") else "wrong"] += 1
        if result not in ("right", "message"):
            wrong.append(f"seed {seed}: {result}")
        shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n{len(seeds)} damaged series: {dict(tried)}")
    assert not wrong, "\n".join(
        [
            *wrong,
            "To have such a series again: python -c 'from pathlib import Path; from "
            'tests.faults.dicom_mutations import write_series; write_series(Path("series"), '
            f"{wrong[0].split()[1][:-1]})'",
        ]
    )
    assert min(tried["right"], tried["message"]) > len(seeds) / 10
