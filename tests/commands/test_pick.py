"""Mode `pick`: what is written, and what is refused."""

import shlex

import pytest

from tests.commands.test_predict import write_case
from vfseg.commands.pick import pick
from vfseg.commands.request import Request
from vfseg.errors import UserError
from vfseg.report import picker


@pytest.fixture
def ct(tmp_path):
    return write_case(tmp_path)[0]


def test_the_command_that_is_said_can_be_pasted(ct, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(picker, "niivue_module", lambda: "")
    named = ct.rename(ct.with_name("my ct's.nii.gz"))
    pick(Request(input=named, output=tmp_path / "pick.html"))
    command = capsys.readouterr().out.partition("Then: ")[2]
    assert shlex.split(command)[:4] == ["vfseg", "predict", str(named), "--points"]


def test_the_page_is_one_file_and_the_next_command_is_said(ct, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(picker, "niivue_module", lambda: "/* the viewer */")
    pick(Request(input=ct, output=tmp_path / "pick.html"))
    page = (tmp_path / "pick.html").read_text()
    assert "/* the viewer */" in page
    assert "case_points.csv" in page
    assert f"vfseg predict {ct} --points case_points.csv -o out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "said"), [("page", "ends in .html"), ("stands.html", "stands already")]
)
def test_what_cannot_be_the_page_is_refused(ct, tmp_path, output, said):
    (tmp_path / "stands.html").write_text("mine")
    with pytest.raises(UserError, match=said):
        pick(Request(input=ct, output=tmp_path / output))
    assert (tmp_path / "stands.html").read_text() == "mine"


def test_without_the_viewer_it_is_said_how_to_get_it(ct, tmp_path, monkeypatch):
    monkeypatch.setattr(picker, "niivue_module", lambda: None)
    with pytest.raises(UserError, match=r"pip install 'vfseg\[report\]'"):
        pick(Request(input=ct, output=tmp_path / "pick.html"))
    assert not (tmp_path / "pick.html").exists()
