"""The table of the ablation: what is collected of the runs, and how it is summed up."""

import json

import numpy as np

from benchmarks.studies.ablation import table


def test_the_table_shows_mean_and_spread():
    row = {
        "variant": "light",
        "equal": "time",
        "steps": 10,
        "parameters": 1234567,
        "ms_per_slice": 2.0,
        "dice": [0.5, 0.7],
        "pr_auc": [0.25, 0.25],
        "recall_across_slices": [None, None],
        "recall_by_volume": [[0.1, 0.3], [0.5, 0.5]],
        "dice_by_spacing": [[0.6, 0.6]],
    }
    line = table.markdown([row]).splitlines()[2]
    spread = np.std([0.5, 0.7], ddof=1)
    assert f"| 0.600 ± {spread:.3f} | 0.250 ± 0.000 | - |" in line
    assert "1,234,567" in line
    assert "| 0.200, 0.500 | 0.600 | 2 |" in line
    assert json.dumps(row)


def test_cases_are_grouped_by_the_size_of_their_voxels(tmp_path):
    """Seven cases, of which one was not evaluated: two in each third; an empty cell is no Dice."""
    scores = tmp_path / "cases.csv"
    rows = [("a", "0.2"), ("b", "0.4"), ("c", "0.5"), ("d", ""), ("e", "0.7"), ("f", "0.9")]
    scores.write_text("case_id,dice\n" + "".join(f"{name},{dice}\n" for name, dice in rows))
    volumes = {"x": 0.1, "f": 0.2, "e": 0.3, "d": 0.4, "c": 0.5, "b": 0.6, "a": 0.7}
    found = table.dice_by_spacing(scores, volumes)
    np.testing.assert_allclose(found, [0.8, 0.5, 0.3])
