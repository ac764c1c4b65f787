"""The lists of an evaluation, read back for the pages of its cases."""

import pytest

from tests.report.listed import make_lists
from vfseg.errors import UserError
from vfseg.evaluation.sentences import sentences
from vfseg.files import write_table
from vfseg.report.case_lists import CaseLists, read_lists


def write(folder, lists, **more):
    folder.mkdir(exist_ok=True)
    rows = []
    for row in lists.vertebrae:
        kept = {name: cell for name, cell in row.items() if name != "map_ml"}
        rows.append(kept | {"fractured": False, "predicted_ml": row["map_ml"]} | more)
    write_table(folder / "vertebrae.csv", rows)
    write_table(folder / "lesions.csv", lists.lesions)


def test_what_was_written_is_read_back(tmp_path):
    lists = make_lists()
    write(tmp_path, lists)
    found = read_lists(tmp_path)["case-1"]
    for language in ("en", "ja"):
        assert sentences(found, language) == sentences(lists, language)
    for row, expected in zip(found.vertebrae, lists.vertebrae, strict=True):
        assert {name: row[name] for name in expected} == expected
        assert row["fractured"] is False
    assert list(found.lesions) == list(lists.lesions)


def test_what_is_too_small_to_be_listed_is_not_listed(tmp_path):
    lists = make_lists()
    small = lists.lesions[0] | {"volume_ml": 0.09}
    write(tmp_path, CaseLists(lists.vertebrae, [small]))
    found = read_lists(tmp_path)["case-1"]
    assert found.lesions == ()
    assert "map: no lesion of 0.1 mL." in sentences(found)[0], "the rest is of a neighbour's"


def test_specks_are_said_where_no_lesion_is_listed(tmp_path):
    lists = make_lists()
    row = lists.vertebrae[0] | {"map_ml": 0.5, "specks_ml": 0.07}
    write(tmp_path, CaseLists([row], []))
    found = read_lists(tmp_path)["case-1"]
    assert "map: no lesion of 0.1 mL, specks of 0.07 mL" in sentences(found)[0]


def test_a_list_of_an_older_version_lacks_columns_and_is_read(tmp_path):
    write_table(tmp_path / "vertebrae.csv", [{"case_id": "a", "level": "L1", "suspected": True}])
    found = read_lists(tmp_path)["a"]
    assert sentences(found)[0].startswith("L1: review. Heights not measured")


def test_there_may_be_no_lists(tmp_path):
    assert read_lists(tmp_path) == {}


def test_a_damaged_list_is_named(tmp_path):
    write(tmp_path, make_lists(), score="much")
    with pytest.raises(UserError, match=r"vertebrae\.csv: damaged \(.*much.*--mode evaluate"):
        read_lists(tmp_path)
