"""What stands behind a row of the race against the twin."""

import pytest

from benchmarks import twin_race
from benchmarks.counting import Limits, Work


@pytest.mark.parametrize(
    ("name", "dtype", "limit"),
    [
        ("vfseg, runs", "float32", "50 % of matrix product"),
        ("vfseg, runs", "bfloat16", "25 % of matrix product"),
        ("PyTorch, runs, eager", "bfloat16", "50 % of matrix product"),
        ("PyTorch, runs, bfloat16", "float32", "25 % of matrix product"),
    ],
)
def test_a_row_is_held_against_the_limit_of_its_precision(name, dtype, limit):
    """Half a second of products in float32 or a quarter in bfloat16, done in one."""
    measured = {"float32": Limits(100.0, 1e9), "bfloat16": Limits(200.0, 1e9)}
    remarks = twin_race.remark({name: Work(50.0, 1.0)}, measured, dtype)
    assert remarks(name, 1.0)["limit"] == limit
