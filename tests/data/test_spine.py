"""A label map beside points, from which the program made it."""

import numpy as np
import pytest
from nibabel.affines import apply_affine

from tests.data.built_spine import as_volume, ids_of, numbered, spine
from vfseg.data.cases import Case
from vfseg.data.settings import SpineReading
from vfseg.data.spine import read_spine
from vfseg.data.volume import write_labels

LEVELS = ("L1", "L2", "L3")


@pytest.fixture
def case(tmp_path):
    """Labels in VerSe's ids of three bodies, and points of which the middle one is uncertain."""
    array, centres = spine(LEVELS)
    labels = as_volume(numbered(array, ids_of("verse")))
    write_labels(tmp_path / "vertebrae.nii.gz", labels.array, labels.geometry)
    lines = ["level,x,y,z,confidence,flags"]
    for level in LEVELS:
        x, y, z = apply_affine(labels.affine, centres[level])
        lines.append(f"{level},{x},{y},{z},0.9,{'uncertain' if level == 'L2' else ''}")
    (tmp_path / "points.csv").write_text("\n".join(lines))
    paths = {"vertebrae": tmp_path / "vertebrae.nii.gz", "points": tmp_path / "points.csv"}
    return Case("a", "a", tmp_path / "ct.nii.gz", **paths), labels.geometry


def test_names_are_as_uncertain_as_those_of_the_points(case):
    read = read_spine(*case, SpineReading())
    assert [v.level for v in read.vertebrae] == list(LEVELS)
    assert [("uncertain" in v.flags) for v in read.vertebrae] == [False, True, False]
    assert "points.csv: calls the names of L2 uncertain" in read.notes
    assert read.outlined
    assert read.labels is not None
    assert set(np.unique(read.labels.array)) == {0, 20, 21, 22}


def test_whatever_scheme_is_asked_for_it_is_read_in_that_of_the_program(case):
    assert len(read_spine(*case, SpineReading(vertebra_scheme="totalsegmentator")).vertebrae) == 3


def test_points_alone_and_a_label_map_alone_are_not_outlined(case):
    whole, geometry = case
    for part in ("vertebrae", "points"):
        alone = Case("a", "a", whole.ct, **{part: getattr(whole, part)})
        read = read_spine(alone, geometry, SpineReading())
        assert not read.outlined
        assert (read.labels is None) == (part == "points")
