"""Derived configs say in what they differ, and leave the complete one alone."""

import pytest

from tests.cohort import ROOT
from vfseg.config.config import read_config
from vfseg.config.derive import changed, derive, load
from vfseg.errors import UserError

QUICKSTART = ROOT / "configs" / "quickstart.py"


def test_later_changes_win_and_the_rest_stays():
    config = derive(QUICKSTART, {"seed": 1, "windows.length": 3}, {"seed": 2})
    assert (config.seed, config.windows.length) == (2, 3)
    expected = load(QUICKSTART).to_dict()
    expected["seed"], expected["windows"]["length"] = 2, 3
    assert config.to_dict() == expected


def test_the_config_that_is_changed_stays_as_it_is():
    first = load(QUICKSTART)
    before = first.to_dict()
    changed(first, {"windows.length": 7, "manifest": "x.csv"})
    assert first.to_dict() == before


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("windows.lenght", r"config\.windows\.lenght: no such setting\. Did you mean .*length"),
        ("windos.length", r"config\.windos: no such setting\. Did you mean config\.windows"),
    ],
)
def test_a_key_that_does_not_exist_is_found_where_the_config_is_read(key, said):
    with pytest.raises(UserError, match=said):
        read_config(derive(QUICKSTART, {key: 3}))


def test_a_setting_that_the_file_leaves_at_its_default_can_be_named():
    config = read_config(derive(QUICKSTART, {"phantom.oblique_degrees": 10}))
    assert config.phantom.oblique_degrees == 10.0
