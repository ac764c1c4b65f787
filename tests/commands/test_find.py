"""Mode `find`: the file of points, what is said of it, and what is refused."""

import shlex

import nibabel as nib
import numpy as np
import pytest

import vfseg
from tests.commands.test_predict import save_model, write_case
from tests.program import vfseg as program
from vfseg.commands.find import find
from vfseg.commands.predict import predict
from vfseg.commands.request import AUTO, FIND, Request, check_lowest
from vfseg.data.box import whole
from vfseg.data.points import vertebrae_from_points
from vfseg.data.schemes import SPINE_IDS
from vfseg.data.settings import SpineReading
from vfseg.data.volume import read_geometry
from vfseg.errors import UserError
from vfseg.files import read_table
from vfseg.localisation import find as finding
from vfseg.localisation import weights
from vfseg.localisation.find import Found, FoundVertebra
from vfseg.segmentation import outlines
from vfseg.segmentation import weights as outline_weights


@pytest.fixture
def ct(tmp_path):
    return write_case(tmp_path)[0]


@pytest.fixture
def found(monkeypatch, ct):
    """Has vertebrae of these names be found in the CT, one above the other."""

    def give(*names, sacrum=False, probability=1.0, others=None):
        geometry = read_geometry(ct)
        first = geometry.affine @ [geometry.shape[0] - 1, 5, 5, 1]
        places = [(*first[:2], first[2] - 9.0 * k) for k in range(len(names))]
        vertebrae = tuple(
            FoundVertebra(n, tuple(map(float, p)), 0.9) for n, p in zip(names, places)
        )
        result = Found(vertebrae, sacrum, probability, others or {})
        asked = []
        monkeypatch.setattr(weights, "read_weights", lambda: None)
        monkeypatch.setattr(
            finding, "find_vertebrae", lambda *args: asked.append(args[2:]) or result
        )
        return asked

    return give


def test_the_file_is_one_that_points_takes(ct, found, tmp_path, capsys):
    asked = found("T3", "T4", "T5")
    path = tmp_path / "points.csv"
    find(Request(input=ct, output=path))
    assert asked == [(str(ct), None)]
    vertebrae, notes = vertebrae_from_points(path, read_geometry(ct))
    assert [v.level for v in vertebrae] == ["T4", "T5"]
    assert not notes
    assert {flag for v in vertebrae for flag in v.flags} <= {"cut"}
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


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def outlined(monkeypatch):
    """Has blocks be outlined, one below the other, for all levels but some."""

    def give(but=()):
        def blocks(ct, points, params):
            labels = np.zeros(ct.shape, np.uint16)
            for number, label in enumerate(points):
                if SPINE_IDS["verse"][label] not in but:
                    labels[34 - 22 * number : 48 - 22 * number, 8:28, 8:32] = label
            return labels, whole(ct.shape)

        monkeypatch.setattr(outlines, "label_vertebrae", blocks)
        monkeypatch.setattr(outline_weights, "read_weights", lambda: None)

    return give


@pytest.fixture
def predicted(ct, checkpoints, monkeypatch, outlined):
    """Predicts the CT with found vertebrae; no pictures of the results."""
    outlined()
    monkeypatch.setattr("vfseg.report.case.draw_case", lambda *_: None)

    def run(output, **changes):
        asked = {"input": ct, "output": output, "model": checkpoints, "vertebrae": FIND} | changes
        predict(Request(**asked))

    return run


def maps(folder):
    return {name: (folder / name).read_bytes() for name in ("probability.nii.gz", "mask.nii.gz")}


def test_a_prediction_with_found_vertebrae_is_that_with_their_outlines(
    ct, found, predicted, tmp_path, capsys
):
    found("L1", "L2", probability=0.6, others={"L3": 0.4})
    predicted(tmp_path / "a")
    said = capsys.readouterr().out
    assert "experimental: 2 vertebrae found, L1 to L2" in said
    assert "the names are uncertain" in said
    assert "points.csv: calls the names of L1, L2 uncertain" in said
    assert (tmp_path / "a" / "points.png").stat().st_size > 1000
    _, rows = read_table(tmp_path / "a" / "vertebrae.csv")
    assert [row.cells["level"] for row in rows] == ["L1", "L2"]
    assert all("uncertain" in row.cells["flags"].split() for row in rows)
    reading = SpineReading(vertebra_scheme="verse")
    predicted(tmp_path / "b", vertebrae=tmp_path / "a" / "vertebrae.nii.gz", reading=reading)
    assert maps(tmp_path / "a") == maps(tmp_path / "b")
    assert "the bodies' outlines, experimental" in said
    assert "no vertebrae are named" not in said


def test_where_nothing_names_vertebrae_they_are_found(
    ct, checkpoints, found, predicted, tmp_path, capsys
):
    found("L1", "L2")
    predicted(tmp_path / "a")
    capsys.readouterr()
    predicted(tmp_path / "b", vertebrae=None)
    assert f"{ct}: no vertebrae are named, so they are found" in capsys.readouterr().out
    assert maps(tmp_path / "a") == maps(tmp_path / "b")
    mine = np.asarray(vfseg.predict(ct, model=checkpoints).probability.dataobj)
    stored = np.asarray(nib.load(tmp_path / "b" / "probability.nii.gz").dataobj)
    np.testing.assert_array_equal(mine, stored.astype(np.float32))


def test_python_finds_as_the_command_does(ct, checkpoints, found, predicted, tmp_path):
    asked = found("L1", "L2", probability=0.5)
    predicted(tmp_path / "a")
    options = vfseg.Options(lowest="L2")
    sure = vfseg.predict(ct, "find", model=checkpoints, options=options)
    assert asked == [(str(ct), None), (str(ct), "L2")]
    unsure = vfseg.predict(ct, "find", model=checkpoints)
    _, rows = read_table(tmp_path / "a" / "vertebrae.csv")
    flags = [row.cells["flags"] for row in rows]
    assert [row["flags"] for row in unsure.vertebrae] == flags
    assert not any("uncertain" in row["flags"] for row in sure.vertebrae)
    for prediction in (sure, unsure):
        assert prediction.notes[0] == "experimental: 2 vertebrae found, L1 to L2"
        stored = np.asarray(nib.load(tmp_path / "a" / "probability.nii.gz").dataobj)
        mine = np.asarray(prediction.probability.dataobj)
        np.testing.assert_array_equal(mine, stored.astype(np.float32))


def test_a_body_that_cannot_be_outlined_is_left_out_and_named(
    found, predicted, outlined, tmp_path, capsys
):
    found("L1", "L2")
    outlined(but=("L2",))
    predicted(tmp_path / "out")
    assert "left out, since they could not be outlined: L2" in capsys.readouterr().out
    _, rows = read_table(tmp_path / "out" / "vertebrae.csv")
    assert [row.cells["level"] for row in rows] == ["L1"]


def test_where_no_body_can_be_outlined_boxes_do(found, predicted, outlined, tmp_path, capsys):
    found("L1", "L2")
    outlined(but=("L1", "L2"))
    predicted(tmp_path / "a")
    assert "no body could be outlined" in capsys.readouterr().out
    assert not (tmp_path / "a" / "vertebrae.nii.gz").exists()
    predicted(tmp_path / "b", vertebrae=None, points=tmp_path / "a" / "points.csv")
    assert maps(tmp_path / "a") == maps(tmp_path / "b")


def test_a_label_map_of_somebody_else_is_not_replaced(ct, found, predicted, tmp_path):
    found("L1", "L2")
    theirs = tmp_path / "out" / "vertebrae.nii.gz"
    theirs.parent.mkdir()
    theirs.write_bytes((tmp_path / "case_vert.nii.gz").read_bytes())
    with pytest.raises(UserError, match=r"is no result of this program.* --vertebrae"):
        predicted(tmp_path / "out")
    assert theirs.read_bytes() == (tmp_path / "case_vert.nii.gz").read_bytes()


def test_points_that_stand_are_taken_and_never_written_over(found, predicted, tmp_path, capsys):
    asked = found("L1", "L2")
    (tmp_path / "out").mkdir()
    find(Request(input=tmp_path / "case_ct.nii.gz", output=tmp_path / "out" / "points.csv"))
    mended = (tmp_path / "out" / "points.csv").read_text().replace("L2", "L3").replace("L1", "L2")
    (tmp_path / "out" / "points.csv").write_text(mended)
    with pytest.raises(UserError, match=r"--lowest L1: .* stands already and ends on L3"):
        predicted(tmp_path / "out", lowest="L1")
    predicted(tmp_path / "out", lowest="L3")
    assert "stands and is taken" in capsys.readouterr().out
    assert (tmp_path / "out" / "points.csv").read_text() == mended
    predicted(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "points.csv").read_text() == mended
    assert len(asked) == 1


def test_a_lowest_level_settles_the_names_of_points_that_stand(found, predicted, tmp_path):
    """Whatever their order: L2 is the lowest, though another line is the last."""
    found("L1", "L2", probability=0.5)
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "points.csv"
    find(Request(input=tmp_path / "case_ct.nii.gz", output=path))
    first, upper, lower = path.read_text().splitlines()
    uncertain = "\n".join([first, lower, upper]) + "\n"
    assert uncertain.count("uncertain") == 2
    path.write_text(uncertain)
    with pytest.raises(UserError, match=r"--lowest L1: .* stands already and ends on L2"):
        predicted(tmp_path / "out", lowest="L1")
    assert path.read_text() == uncertain
    predicted(tmp_path / "out", lowest="L2")
    assert path.read_text() == uncertain.replace("uncertain", "")


def test_the_program_takes_find_for_no_path(ct, checkpoints, tmp_path):
    """From the command line on; noise shows no spine."""
    command = ["predict", ct, "--vertebrae", "find", "-o", "out", "--checkpoint", checkpoints]
    assert "no spine was found" in program(*command, cwd=tmp_path, status=2)


def test_what_the_localiser_refuses_leaves_no_results(predicted, tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError("no spine was found that can be trusted")

    monkeypatch.setattr(weights, "read_weights", lambda: None)
    monkeypatch.setattr(finding, "find_vertebrae", refuse)
    with pytest.raises(UserError, match="no spine was found"):
        predicted(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vertebrae": FIND, "lowest": "l5"}, "--lowest l5: no vertebra"),
        ({"vertebrae": AUTO, "lowest": "L5"}, "--lowest L5: goes with --vertebrae find"),
        ({"points": FIND, "lowest": "L5"}, "--lowest L5: goes with --vertebrae find"),
        ({"vertebrae": FIND, "lowest": "L5", "folder": True}, "nothing of the many CTs"),
    ],
)
def test_a_lowest_level_that_has_no_use_is_refused(ct, tmp_path, changes, said):
    changes = dict(changes)
    asked = tmp_path if changes.pop("folder", False) else ct
    with pytest.raises(UserError, match=said):
        check_lowest(Request(input=asked, output=tmp_path / "out", **changes))
