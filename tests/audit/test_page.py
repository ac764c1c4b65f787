import dataclasses
from urllib.parse import unquote

import numpy as np
import pytest

from tests.audit.data_set import AFFINE, MIDDLES, SHAPE, audit, sheet, write_case
from tests.drawing.html import Page
from vfseg.audit import Audit, Finding, Place
from vfseg.audit.figures import labels_on_slice
from vfseg.audit.page import write_audit_page
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import read_ct, read_labels, write_labels
from vfseg.drawing.hanging import HANGINGS, oriented_slice

NASTY = "a<b>&\"c' $1"


@pytest.fixture
def cases(tmp_path):
    dots = sheet()
    dots[MIDDLES["L1"], 20, 20] = 2
    moved = AFFINE.copy()
    moved[:3, 3] += (3, 0, 4)
    return [
        write_case(tmp_path, "dots", seed=1, fractures=dots, patient="p"),
        write_case(tmp_path, "moved", seed=2, label_affine=moved, patient="p", split="test"),
        write_case(tmp_path, "sound", seed=3),
    ]


def test_the_page_is_offline_and_shows_every_finding(cases, tmp_path):
    result = audit(*cases)
    page_path = write_audit_page(result, cases, tmp_path / "run" / "audit", progress=False)
    assert page_path == tmp_path / "run" / "audit" / "index.html"
    page = Page(page_path)
    for link in page.links:
        assert "//" not in link
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (page_path.parent / unquote(link)).resolve().parent == page_path.parent
            assert (page_path.parent / unquote(link)).exists()
    assert "script" not in page.tags
    for finding in result.findings:
        row = [finding.severity, finding.kind, finding.message]
        assert row in [cells[:2] + cells[3:] for cells in page.rows]
        assert finding.about in page.texts or not finding.about
    assert ["dots", "1", "L2"] in [row[:3] for row in page.rows]
    assert ["level", "train", "test", "all"] in page.rows
    assert page.tags.count("img") == 2  # the dot, and the label map that is off
    for case_id in ("dots", "moved"):
        assert case_id in page.texts
    assert "Research use only" in page.text
    assert "Mend the errors" in page.text


def test_pictures_of_an_earlier_audit_go(cases, tmp_path):
    write_audit_page(audit(*cases), cases, tmp_path / "audit", progress=False)
    assert len(list((tmp_path / "audit").glob("*.png"))) == 2
    write_audit_page(audit(cases[2]), cases[2:], tmp_path / "audit", progress=False)
    assert [path.name for path in (tmp_path / "audit").iterdir()] == ["index.html"]


def test_the_gravest_come_first_and_notes_are_folded(cases, tmp_path):
    result = audit(*cases)
    rows = Page(write_audit_page(result, cases, tmp_path / "audit", progress=False)).rows
    shown = [row[0] for row in rows if row and row[0] in ("error", "warning", "note")]
    assert shown == [f.severity for f in result.findings]
    assert shown.index("warning") == result.count("error")


def test_what_users_name_is_escaped(cases, tmp_path):
    place = Place("sagittal", (30, 20, 20))
    finding = Finding("error", "geometry", f"found {NASTY}", NASTY, place=place)
    result = Audit((finding,), ())
    case = dataclasses.replace(cases[2], case_id=NASTY)
    page = Page(write_audit_page(result, [case], tmp_path / "audit", progress=False))
    assert NASTY in page.texts
    assert f"found {NASTY}" in page.texts
    assert page.tags.count("img") == 1
    assert "b" not in page.tags[page.tags.index("table") :]
    assert "No case can be used" in page.text


def test_a_ct_that_cannot_be_read_costs_its_picture_only(cases, tmp_path):
    result = audit(*cases)
    for case in cases[:2]:
        case.ct.write_bytes(b"gone")
    page = Page(write_audit_page(result, cases, tmp_path / "audit", progress=False))
    assert page.tags.count("img") == 0
    assert not [link for link in page.links if link.startswith("#")]


def test_a_sound_set_has_a_page_without_pictures(cases, tmp_path):
    result = audit(cases[2])
    page = Page(write_audit_page(result, cases[2:], tmp_path / "audit", progress=False))
    assert page.tags.count("img") == 0
    assert "No error was found" in page.text


def test_labels_of_another_grid_are_drawn_where_they_lie(cases, tmp_path):
    ct = read_ct(cases[2].ct)
    labels = read_labels(cases[2].vertebrae)
    for hanging in HANGINGS:
        shown = labels_on_slice(labels, ct, hanging, 15)
        np.testing.assert_array_equal(shown, oriented_slice(labels.array, hanging, 15))
    moved = AFFINE.copy()
    moved[:3, 3] += (0, 0, 8)  # 4 voxels up
    d, h, w = SHAPE
    write_labels(tmp_path / "up.nii.gz", labels.array, geometry_from((w, h, d), moved))
    up = read_labels(tmp_path / "up.nii.gz")
    sagittal = next(h for h in HANGINGS if h.name == "sagittal")
    shown = labels_on_slice(up, ct, sagittal, 20)
    expected = np.zeros(SHAPE, np.uint8)
    expected[4:] = labels.array[:-4]
    np.testing.assert_array_equal(shown, oriented_slice(expected, sagittal, 20))
