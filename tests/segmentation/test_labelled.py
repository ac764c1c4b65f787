"""Labelled CTs on the grid on which the segmenter learns."""

import numpy as np
import pytest

from tests.data.built_spine import HEIGHT, WIDTH, as_volume, ids_of, numbered, spine
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.cases import Case
from vfseg.data.volume import write_ct, write_labels
from vfseg.errors import UserError
from vfseg.segmentation.labelled import KEPT_MM, read_labelled

LEVELS = ("T12", "L1", "L2")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A CT whose HU are a hundred times the label of each voxel, and its label map."""
    array, _ = spine(LEVELS)
    labels = as_volume(numbered(array, ids_of("verse")))
    hu = np.where(labels.array, 100 * labels.array.astype(int), -1000)
    folder = tmp_path_factory.mktemp("built")
    write_ct(folder / "ct.nii.gz", hu.astype(np.int16), labels.geometry)
    write_labels(folder / "vertebrae.nii.gz", labels.array, labels.geometry)
    case = Case("built", "built", folder / "ct.nii.gz", folder / "vertebrae.nii.gz")
    return case, labels


def test_bodies_keep_place_size_and_hu(built):
    """The bodies of a built spine are elliptic cylinders of known height and width."""
    case, labels = built
    read = read_labelled(case, real=True)
    assert (read.name, read.real) == ("built", True)
    assert read.hu.dtype == np.int16
    assert read.labels.dtype == np.uint8
    reading = read_vertebrae(labels, None, "built")
    first = None
    for number, vertebra in enumerate(reading.vertebrae, 1):
        there = read.labels == number
        level = vertebra.level
        volume = np.pi / 4 * 0.72 * WIDTH[level] ** 2 * HEIGHT[level]
        assert np.count_nonzero(there) * KEPT_MM**3 == pytest.approx(volume, rel=0.1)
        assert np.median(read.hu[there]) == 100 * vertebra.label
        middle = np.argwhere(there).mean(0)
        np.testing.assert_allclose(read.points[number], middle, atol=2.5 / KEPT_MM)
        offset = middle - vertebra.centre * labels.voxel_spacing / KEPT_MM
        first = offset if first is None else first
        np.testing.assert_allclose(offset, first, atol=1.5)  # all are moved alike


def test_it_is_cut_to_what_a_patch_can_see(built):
    case, labels = built
    read = read_labelled(case, real=False)
    whole = np.array(labels.shape) * labels.voxel_spacing / KEPT_MM
    assert read.hu.shape == read.labels.shape
    assert read.hu.shape[0] < 0.75 * whole[0]  # three vertebrae of a whole spine
    seen = np.argwhere(read.labels)
    assert ((seen.min(0) - 0) * KEPT_MM <= 46).all()


def test_a_case_without_a_label_map_is_refused(built):
    case, _ = built
    with pytest.raises(UserError, match="has no label map"):
        read_labelled(Case("a", "a", case.ct), real=True)
