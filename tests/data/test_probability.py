"""Codes of stored probabilities, and the mask that is cut by comparing them."""

import nibabel as nib
import numpy as np

from tests.data.nifti_files import write_probability
from vfseg.data.geometry import geometry_from
from vfseg.data.probability import BINS, code_score, reaches, score_bin
from vfseg.data.volume import read_probability

TOP = BINS - 1


def test_bins_are_the_rounded_codes_of_a_stored_map():
    codes = np.arange(BINS)
    np.testing.assert_array_equal(score_bin(codes / TOP), codes)
    np.testing.assert_array_equal(score_bin((codes / TOP).astype(np.float32)), codes)
    assert score_bin(np.array([0.4 / TOP, 0.6 / TOP])).tolist() == [0, 1]


def test_a_mask_is_the_same_from_the_map_and_from_its_stored_form():
    """The stored score may lie on either side of the threshold; its code does not."""
    codes = np.arange(BINS)
    stored = code_score(codes)
    for code in (1, 13_107, 40_000, TOP):
        np.testing.assert_array_equal(reaches(stored, code / TOP), codes >= code)


def test_the_score_of_a_code_is_what_readers_of_the_file_find(tmp_path):
    """All 65,536 codes, to the last bit: this package's reader, and nibabel as float32."""
    codes = np.arange(BINS).reshape(64, 64, 16)
    geometry = geometry_from(codes.shape[::-1], np.diag([1.0, 1.0, 2.0, 1.0]))
    write_probability(tmp_path / "p.nii.gz", codes / TOP, geometry)
    scores = code_score(codes)
    assert scores.dtype == np.float32
    assert scores.max() < 1
    np.testing.assert_array_equal(read_probability(tmp_path / "p.nii.gz").array, scores)
    image = nib.load(tmp_path / "p.nii.gz")
    stored = geometry.to_canonical(np.asarray(image.dataobj.get_unscaled()))
    np.testing.assert_array_equal(stored, codes)
    np.testing.assert_array_equal(
        geometry.to_canonical(image.get_fdata(dtype=np.float32)).astype(np.float32), scores
    )
    np.testing.assert_array_equal(score_bin(scores), codes)
