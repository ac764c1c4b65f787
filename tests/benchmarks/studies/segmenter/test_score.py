"""Outlines beside a label map, with a network that knows the bodies."""

import numpy as np
import pytest

from benchmarks.studies.segmenter import score as scoring
from benchmarks.studies.segmenter.score import score
from tests.data.built_spine import as_volume, ids_of, numbered, spine
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.box import whole
from vfseg.data.cases import Case
from vfseg.data.volume import write_ct, write_labels
from vfseg.errors import UserError
from vfseg.segmentation.labelled import bodies_of

LEVELS = ("T11", "T12", "L1", "L2")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    array, _ = spine(LEVELS)
    labels = as_volume(numbered(array, ids_of("verse")))
    folder = tmp_path_factory.mktemp("built")
    hu = np.where(labels.array, 300, -1000).astype(np.int16)
    write_ct(folder / "ct.nii.gz", hu, labels.geometry)
    write_labels(folder / "vertebrae.nii.gz", labels.array, labels.geometry)
    return Case("built", "built", folder / "ct.nii.gz", folder / "vertebrae.nii.gz"), labels


@pytest.fixture
def outlines(case, monkeypatch):
    """Has the true bodies be outlined, of which the upper voxels of some level are lost."""

    def give(lost=0, level="L1"):
        reading = read_vertebrae(case[1], "verse", "built")
        bodies, _ = bodies_of(reading)
        ids = np.array([0, *(v.label for v in reading.vertebrae)], np.uint16)
        labels = ids[bodies]
        (number,) = [n for n, v in enumerate(reading.vertebrae, 1) if v.level == level]
        top = np.flatnonzero((bodies == number).any((1, 2)))[-1]
        labels[top + 1 - lost : top + 1][bodies[top + 1 - lost : top + 1] == number] = 0
        asked = []

        def known(ct, points, params):
            asked.append(points)
            return labels, whole(ct.shape)

        monkeypatch.setattr(scoring, "label_vertebrae", known)
        return asked

    return give


def test_true_bodies_have_a_dice_of_one_and_the_heights_of_the_whole_vertebrae(case, outlines):
    asked = outlines()
    scores = score(case[0], None, astray_mm=0.0)
    assert [one.level for one in scores] == list(LEVELS)
    assert all(one.dice == 1 for one in scores)
    assert all(one.heights < 1.0 and abs(one.loss) < 0.03 for one in scores)
    again = score(case[0], None, astray_mm=5.0)
    assert again == scores
    moved = [np.abs(asked[0][k] - asked[1][k]).max() for k in asked[0]]
    assert min(moved) > 0


def test_a_body_that_is_too_low_by_two_voxels_is_said_to_be_so(case, outlines):
    """Voxels of 2 mm: 4 mm of a height of about 25, which is lost, too."""
    outlines(lost=2)
    scores = {one.level: one for one in score(case[0], None, astray_mm=0.0)}
    assert scores["L1"].dice < 0.95
    assert scores["L1"].heights == pytest.approx(4.0, abs=1.0)
    assert 0.1 < scores["L1"].loss < 0.25
    assert scores["T11"].dice == 1


def test_a_case_without_a_label_map_is_refused(case):
    with pytest.raises(UserError, match="has no label map"):
        score(Case("a", "a", case[0].ct), None, 0.0)
