"""Thresholds are read as they were written, or what is wrong with them is said."""

import dataclasses

import pytest

from vfseg.errors import UserError
from vfseg.inference.thresholds import Thresholds, VerdictRule, load_thresholds, save_thresholds
from vfseg.json_files import read_json

THRESHOLDS = Thresholds(slice=0.25, fused=0.75, vertebra=0.1, vertebra_rule="Youden index")
RULE = VerdictRule(
    both=(-1.0, 0.5, 2.0), map=(0.0, 1.0), heights=None, review=0.1, likely=0.5, usual=-2.5
)


def test_what_was_saved_is_loaded(tmp_path):
    for temperature in (None, 1.5):
        for verdict in (None, RULE):
            saved = Thresholds(
                slice=0.0, fused=1.0, vertebra=0.5, temperature=temperature, verdict=verdict
            )
            save_thresholds(tmp_path, 3, saved, "mean")
            assert load_thresholds(tmp_path, 3) == saved


def test_whom_they_were_chosen_on_is_kept(tmp_path):
    saved = dataclasses.replace(THRESHOLDS, chosen_on="out of fold")
    save_thresholds(tmp_path, 3, saved, "mean")
    assert read_json(tmp_path / "thresholds.json")["chosen_on"] == "out of fold"
    assert load_thresholds(tmp_path, 3) == saved


def test_other_thresholds_than_those_that_were_saved_are_noticed(tmp_path):
    save_thresholds(tmp_path, 3, THRESHOLDS, "mean")
    path = tmp_path / "thresholds.json"
    path.write_text(path.read_text().replace("0.75", "0.25"))
    with pytest.raises(UserError, match=r"thresholds\.json: damaged .* --mode evaluate"):
        load_thresholds(tmp_path, 3)


_SOUND = '{"step": 1, "slice": 0.2, "fused": 0.3, "vertebra": 0.4}'


def test_thresholds_of_an_earlier_version_serve(tmp_path):
    (tmp_path / "thresholds.json").write_text(_SOUND)
    assert load_thresholds(tmp_path, 1) == Thresholds(slice=0.2, fused=0.3, vertebra=0.4)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "{}", "[]", "3", "null", '{"step": 1, "slice": null}', "[" * 10_000),
        *(_SOUND.replace("0.3", text) for text in ("1.01", "-0.1", "NaN", "Infinity", '"0.3"')),
        *(_SOUND.replace("0.3", text) for text in ("true", "[0.3]", "9" * 400)),
        *(_SOUND.replace('"step": 1', f'"step": {text}') for text in ("-1", "1.5", '"1"', "[]")),
        *(_SOUND.replace("{", f'{{"temperature": {text}, ') for text in ("0", "-1", '"hot"')),
        _SOUND.replace("{", '{"vertebra_rule": 3, '),
        *(
            _SOUND.replace("{", '{"verdict": {"review": 0.1, "likely": 0.5, ' + text + "}, ")
            for text in (
                '"map": [0.1]',
                '"map": "ab"',
                '"both": [1, 2, NaN]',
                '"likely": 2',
                '"usual": "a"',
            )
        ),
    ],
)
def test_damaged_thresholds_are_named(tmp_path, content):
    (tmp_path / "thresholds.json").write_text(content)
    with pytest.raises(UserError, match=r"thresholds\.json: damaged .* --mode evaluate"):
        load_thresholds(tmp_path, 1)


def test_missing_thresholds_are_named(tmp_path):
    with pytest.raises(UserError, match=r"no thresholds of step 1 yet\. .*--mode evaluate"):
        load_thresholds(tmp_path, 1)


def test_thresholds_of_another_step_are_refused(tmp_path):
    folder = tmp_path / "checkpoints"
    (folder / "1").mkdir(parents=True)
    save_thresholds(folder, 1, THRESHOLDS, "mean")
    with pytest.raises(UserError, match=r"for step 1, not for step 2\. Name .*/1, or run --mode"):
        load_thresholds(folder, 2)
    save_thresholds(folder, 5, THRESHOLDS, "mean")
    with pytest.raises(UserError, match=r"for step 5, not for step 2\. Run --mode evaluate"):
        load_thresholds(folder, 2)
