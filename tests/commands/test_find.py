"""Mode `find`: the file of points, what is said of it, and what is refused."""

import shlex

import numpy as np
import pytest

from vfseg.commands.find import find
from vfseg.commands.request import AUTO, FIND, Request, check_lowest
from vfseg.data.points import vertebrae_from_points
from vfseg.data.volume import read_geometry
from vfseg.errors import UserError
from vfseg.localisation import weights


def test_the_file_is_one_that_points_takes(ct, found, tmp_path, capsys):
    asked = found("T3", "T4", "T5")
    path = tmp_path / "points.csv"
    find(Request(input=ct, output=path))
    assert asked == [(str(ct), None)]
    vertebrae, notes = vertebrae_from_points(path, read_geometry(ct))
    assert [v.level for v in vertebrae] == ["T4", "T5"]
    assert not notes
    assert all("found" in v.flags for v in vertebrae)
    said = capsys.readouterr().out
    assert "experimental: 3 vertebrae found, T3 to T5" in said
    assert f"vfseg show {ct} --points {path} -o {tmp_path / 'points.png'}" in said
    assert "uncertain" not in said


def test_the_commands_that_are_said_can_be_pasted(ct, found, tmp_path, capsys):
    found("L1", "L2")
    path = tmp_path / "my points.csv"
    find(Request(input=ct, output=path))
    show, predict = (shlex.split(line) for line in capsys.readouterr().out.splitlines()[-2:])
    assert show == ["vfseg", "show", str(ct), "--points", str(path), "-o", str(path)[:-3] + "png"]
    assert predict == ["vfseg", "predict", str(ct), "--points", str(path), "-o", "out"]


def test_uncertain_names_are_said_with_the_others(ct, found, tmp_path, capsys):
    found("L1", "L2", sacrum=True, probability=0.6, others={"L1": 0.3, "L3": 0.1})
    find(Request(input=ct, output=tmp_path / "a.csv"))
    vertebrae, _ = vertebrae_from_points(tmp_path / "a.csv", read_geometry(ct))
    assert all("uncertain" in v.flags for v in vertebrae)
    said = capsys.readouterr().out
    assert "L1 to L2, and the sacrum below" in said
    assert "the lowest one is L2 with 60% (L1 30%, L3 10%)" in said
    assert "--lowest NAME settles it" in said


def test_a_given_lowest_level_is_handed_on_and_is_certain(ct, found, tmp_path, capsys):
    asked = found("L1", "L2", probability=0.6)
    find(Request(input=ct, output=tmp_path / "a.csv", lowest="L2"))
    assert asked == [(str(ct), "L2")]
    assert "uncertain" not in (tmp_path / "a.csv").read_text()
    assert "uncertain" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "lowest", "said"),
    [
        ("points.txt", None, "ends in .csv"),
        ("stands.csv", None, "stands already"),
        ("points.csv", "l3", "--lowest l3: no vertebra. Name one of C3 to L5"),
        ("points.csv", "S1", "--lowest S1: no vertebra"),
    ],
)
def test_what_cannot_be_done_is_refused(ct, found, tmp_path, output, lowest, said):
    found("L1", "L2")
    (tmp_path / "stands.csv").write_text("mine")
    with pytest.raises(UserError, match=said):
        find(Request(input=ct, output=tmp_path / output, lowest=lowest))
    assert (tmp_path / "stands.csv").read_text() == "mine"
    assert not (tmp_path / "points.csv").exists()


def test_a_neck_alone_gives_no_file(ct, found, tmp_path):
    found("C4", "C5", "C6")
    with pytest.raises(UserError, match="found C4 to C6, and none of T4 to L5"):
        find(Request(input=ct, output=tmp_path / "points.csv"))
    assert not (tmp_path / "points.csv").exists()


def test_a_ct_without_a_sign_of_a_spine_is_refused_by_the_whole_way(ct, tmp_path, monkeypatch):
    """From the file to the message, with a network whose heat map is flat."""
    from vfseg.localisation.network import first_params

    monkeypatch.setattr(weights, "read_weights", lambda: first_params(0))
    with pytest.raises(UserError, match=r"no spine was found .* --points"):
        find(Request(input=ct, output=tmp_path / "points.csv"))
    assert np.array([p.name != "points.csv" for p in tmp_path.iterdir()]).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vertebrae": FIND, "lowest": "l5"}, "--lowest l5: no vertebra"),
        ({"vertebrae": AUTO, "lowest": "L5"}, "--lowest L5: is for vertebrae that are found"),
        ({"points": FIND, "lowest": "L5"}, "--lowest L5: is for vertebrae that are found"),
        ({"vertebrae": FIND, "lowest": "L5", "folder": True}, "nothing of the many CTs"),
    ],
)
def test_a_lowest_level_that_has_no_use_is_refused(ct, tmp_path, changes, said):
    changes = dict(changes)
    asked = tmp_path if changes.pop("folder", False) else ct
    with pytest.raises(UserError, match=said):
        check_lowest(Request(input=asked, output=tmp_path / "out", **changes))
