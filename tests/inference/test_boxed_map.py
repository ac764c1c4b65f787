"""A map of which only a box is kept, read like the whole array."""

import numpy as np
import pytest

from tests.data.nifti_files import write_probability
from vfseg.data.geometry import geometry_from
from vfseg.data.probability import BINS
from vfseg.data.volume import read_probability
from vfseg.inference.boxed_map import BoxedMap

SHAPE, BOX = (6, 5, 4), (slice(1, 5), slice(0, 3), slice(2, 4))


@pytest.fixture
def pair():
    """The map, filled part by part, and the whole array that it stands for."""
    whole, given = np.zeros(SHAPE, np.float32), np.random.default_rng(0).random(SHAPE)
    whole[BOX] = np.rint(given[BOX] * 65535) / 65535
    boxed = BoxedMap(SHAPE, BOX)
    for d in range(SHAPE[0]):
        part = (slice(d, d + 1), slice(0, 5), slice(0, 4))
        boxed.fill(part, given[part])
    return boxed, whole


def test_it_is_read_like_an_array(pair):
    boxed, whole = pair
    assert len(boxed) == len(whole)
    assert (boxed.shape, boxed.dtype) == (whole.shape, whole.dtype)
    for key in (
        np.s_[:, :, :],
        np.s_[2:6, 1:5, 0:3],
        np.s_[0:1, 0:5, 0:1],
        np.s_[5:9, :, :],
        np.s_[3:3, :, :],
        np.s_[1:3],
        np.s_[:, 2:4],
        0,
        3,
        -2,
    ):
        np.testing.assert_allclose(boxed[key], whole[key], atol=1e-7)
    np.testing.assert_allclose(list(boxed), whole, atol=1e-7)


def test_it_gives_what_the_file_gives(tmp_path):
    """Every code, to the last bit."""
    values = (np.arange(BINS) / (BINS - 1)).reshape(32, 32, 64)
    boxed = BoxedMap(values.shape, (slice(0, 32), slice(0, 32), slice(0, 64)))
    boxed.fill((slice(0, 32), slice(0, 32), slice(0, 64)), values)
    geometry = geometry_from(values.shape[::-1], np.eye(4))
    write_probability(tmp_path / "p.nii.gz", values, geometry)
    np.testing.assert_array_equal(boxed[:], read_probability(tmp_path / "p.nii.gz").array)


@pytest.mark.parametrize(
    "key", [SHAPE[0], -SHAPE[0] - 1, np.s_[::2], np.s_[0, 1], np.s_[:, :, :, :], [0, 1], None]
)
def test_what_it_cannot_give_is_an_error(pair, key):
    boxed, _ = pair
    with pytest.raises(IndexError):
        boxed[key]


def test_a_box_of_no_voxel_is_a_map_of_zeros():
    boxed = BoxedMap(SHAPE, (slice(0, 0),) * 3)
    boxed.fill((slice(0, 6), slice(0, 5), slice(0, 4)), np.ones(SHAPE))
    assert not boxed[:].any()
