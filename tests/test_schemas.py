"""A content is of a shape, or the first place where it is not is named."""

import pytest

from vfseg.errors import UserError
from vfseg.schemas import ANY, NUMBER, TEXT, TRUTH, All, Maybe, Table, misfit, read_checked
from vfseg.settings import above, between, whole

SHAPE = {
    "step": whole(0),
    "share": between(0, 1),
    "of": Maybe(TEXT),
    "points": [{"at": NUMBER}],
    "table": Table(whole(0)),
}
SOUND = {"step": 3, "share": 0.5, "points": [{"at": 1}, {"at": -2.5}], "table": {"x": 1}}


def test_what_fits_has_no_misfit():
    assert misfit(SOUND, SHAPE) == ""
    assert misfit(SOUND | {"of": "y", "further": object()}, SHAPE) == ""
    assert misfit(SOUND | {"of": None, "points": [], "table": {}}, SHAPE) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": -1}, "it.step=-1: expected a whole number from 0"),
        ({"step": True}, "it.step=True: expected a whole number from 0"),
        ({"share": 1.1}, "it.share=1.1: expected a number from 0 to 1"),
        ({"share": float("nan")}, "it.share=nan: expected a number from 0 to 1"),
        ({"share": None}, "it.share=None: expected a number from 0 to 1"),
        ({"of": 3}, "it.of=3: expected a text"),
        ({"points": {}}, "it.points={}: expected a list"),
        ({"points": [{"at": 1}, {"at": "1"}]}, "it.points[1].at='1': expected a number"),
        ({"points": [{"at": 1}, {}]}, "it.points[1].at is missing"),
        ({"points": [3]}, "it.points[0]=3: expected names and values"),
        ({"points": [{"at": 10**400}]}, "it.points[0].at=1"),
        ({"table": {"x": 1, "y": 0.5}}, "it.table.y=0.5: expected a whole number from 0"),
        ({"table": [1]}, "it.table=[1]: expected names and values"),
    ],
)
def test_the_first_place_that_does_not_fit_is_named(change, words):
    assert misfit(SOUND | change, SHAPE, "it").startswith(words)


def test_a_missing_name_is_named():
    assert misfit({}, SHAPE, "it") == "it.step is missing"
    assert misfit([], SHAPE, "it") == "it=[]: expected names and values"


def test_several_shapes_at_once():
    shape = All((Table(NUMBER), {"step": whole(0)}))
    assert misfit({"step": 1, "loss": float("nan")}, shape) == ""
    assert misfit({"step": 1, "loss": "x"}, shape).startswith("content.loss='x'")
    assert misfit({"loss": 1}, shape) == "content.step is missing"


def test_rules_of_kinds():
    assert NUMBER.admits(float("inf"))
    assert not NUMBER.admits(True)
    assert TRUTH.admits(False)
    assert not TRUTH.admits(0)
    assert ANY.admits(None)
    assert not above(0).admits(10**400), "no float holds it"


def test_a_file_is_read_and_checked(tmp_path):
    path = tmp_path / "f.json"
    assert read_checked(path, SHAPE) is None
    path.write_text('{"step": 1}')
    with pytest.raises(
        UserError, match=r"f\.json: damaged \(content\.share is missing\)\. Do so\."
    ):
        read_checked(path, SHAPE, "Do so.")
    path.write_text("null")
    with pytest.raises(UserError, match=r"f\.json: damaged .* Delete it, and run again"):
        read_checked(path, SHAPE)
    path.write_text('{"step": 1}')
    assert read_checked(path, {"step": whole(0)}) == {"step": 1}
