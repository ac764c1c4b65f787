"""Mode `show`: a picture of where the vertebrae are; and what comes before a prediction."""

import re

import nibabel as nib
import numpy as np
import pytest

from tests.commands.test_predict import write_case
from vfseg.commands.request import AUTO, FIND, Request, look_at
from vfseg.commands.show import show
from vfseg.data.settings import SpineReading
from vfseg.errors import UserError

READING = SpineReading(vertebra_scheme="verse")


def points_of(folder):
    """Points in the middle of the blocks of `write_case`, in mm."""
    path = folder / "points.csv"
    path.write_text("level,x,y,z\nL1,19.5,17.5,60.75\nL2,19.5,17.5,27.75\n")
    return path


def test_a_picture_and_the_sizes_of_the_vertebrae(tmp_path, capsys):
    ct, labels, boxes = write_case(tmp_path)
    picture = tmp_path / "new" / "seen.png"
    for known in ({"vertebrae": labels}, {"boxes": boxes}, {"points": points_of(tmp_path)}):
        show(Request(input=ct, output=picture, reading=READING, overwrite=True, **known))
        assert picture.read_bytes().startswith(b"\x89PNG")
        printed = capsys.readouterr().out
        assert "40 x 36 x 60 voxels of 1 x 1 x 1.5 mm" in printed
        assert re.search(r"^L1 +\d+ x \d+ x \d+ mm", printed, re.MULTILINE)
        if "boxes" in known:  # 14 voxels of 1.5 mm, 20 and 24 of 1 mm
            assert "L2   21 x 20 x 24 mm" in printed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output": "a.jpg"}, "a.jpg: a picture ends in .png"),
        ({"output": "there.png"}, "there.png: stands already"),
        ({"vertebrae": None}, "where are its vertebrae? Give --vertebrae LABELMAP, --boxes"),
        ({"points": "points.csv"}, "--vertebrae and --points: both name the vertebrae"),
        ({"input": "."}, "name one CT"),
        ({"input": "no.nii.gz"}, "no.nii.gz: no such file"),
        ({"input": "x" * 300}, "xxx: File name too long. Check the path"),
        ({"input": "x" * 300, "vertebrae": None}, "xxx: File name too long. Check the path"),
        ({"vertebrae": "x" * 300}, "xxx: File name too long. Check the path"),
    ],
)
def test_what_cannot_be_shown_is_named(tmp_path, changes, said):
    ct, labels, _ = write_case(tmp_path)
    (tmp_path / "there.png").touch()
    given = {"input": ct, "output": tmp_path / "a.png", "vertebrae": labels}
    given |= {name: value and tmp_path / value for name, value in changes.items()}
    if changes.get("input") == ".":
        given["vertebrae"] = None
    with pytest.raises(UserError, match=re.escape(said)):
        show(Request(reading=READING, **given))
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("made", [AUTO, FIND])
def test_vertebrae_that_are_still_to_be_made_cannot_be_shown(tmp_path, made):
    ct, _, _ = write_case(tmp_path)
    with pytest.raises(UserError, match=f"--vertebrae {made}: makes .*vfseg find makes points"):
        show(Request(input=ct, output=tmp_path / "a.png", vertebrae=made))


def test_a_prediction_says_first_what_it_looks_at(tmp_path, capsys):
    ct, labels, _ = write_case(tmp_path)
    look_at(Request(input=ct, vertebrae=labels, output=tmp_path / "out"))
    assert capsys.readouterr().out == f"{ct}: 40 x 36 x 60 voxels of 1 x 1 x 1.5 mm\n"
    for unnamed in (None, AUTO, FIND):
        look_at(Request(input=ct, vertebrae=unnamed, output=tmp_path / "out"))
        assert capsys.readouterr().out == f"{ct}: 40 x 36 x 60 voxels of 1 x 1 x 1.5 mm\n"
    look_at(Request(input=tmp_path, output=tmp_path / "out"))
    assert capsys.readouterr().out == f"{tmp_path}: looking for cases\n"
    assert not (tmp_path / "out").exists(), "nothing is begun"


def test_and_refuses_what_headers_show_to_be_wrong(tmp_path):
    ct, labels, _ = write_case(tmp_path)
    image = nib.load(labels)
    moved = image.affine + np.array([[0, 0, 0, 3.0], *[[0] * 4] * 3])
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), tmp_path / "moved.nii.gz")
    with pytest.raises(UserError, match=r"moved\.nii\.gz does not lie on the grid"):
        look_at(Request(input=ct, vertebrae=tmp_path / "moved.nii.gz", output=tmp_path / "out"))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        look_at(Request(input=ct, vertebrae=labels, output=tmp_path / "file" / "out"))
