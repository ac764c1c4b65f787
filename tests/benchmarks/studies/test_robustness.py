"""Changes of a scan: where it lies, what is in it, and what stays as it is."""

import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from benchmarks.studies.robustness import (
    CHANGES,
    Said,
    Scan,
    _geometry,
    compare,
    cut_to_three,
    kernel,
    noise,
    slices_of,
    turned,
)
from vfseg.evaluation.verdict import LIKELY, NO_SIGN, REVIEW


def scan():
    """Blocks of five vertebrae, VerSe ids of L5 to L1 from below, on voxels of 3 x 2 x 3 mm."""
    labels = np.zeros((60, 24, 20), np.uint8)
    for number, label in enumerate((24, 23, 22, 21, 20)):
        labels[12 * number + 2 : 12 * number + 10, 6:18, 6:14] = label
    ct = np.where(labels > 0, 300, 0).astype(np.int16)
    affine = np.array([[0, 0, 3, -20], [0, 2, 0, 5], [3, 0, 0, 100], [0, 0, 0, 1]], float)
    return Scan(ct, labels, affine, "verse")


def centre_mm(scan, label):
    return apply_affine(scan.affine, ndimage.center_of_mass(scan.labels == label))


@pytest.mark.parametrize("name", [n for n in CHANGES if "slices" in n or "kernel" in n])
def test_vertebrae_stay_where_they_are(name):
    before, after = scan(), CHANGES[name](scan())
    for label in (20, 22, 24):
        # Nearest labels move a face by at most half a slice.
        far = np.abs(centre_mm(after, label) - centre_mm(before, label))
        assert np.all(far <= 0.5 * np.maximum(after.spacing, before.spacing)[[2, 1, 0]] + 1e-6)


def test_thick_slices_are_as_thick_as_they_are_apart():
    thick = slices_of(5.0)(scan())
    assert thick.spacing == pytest.approx([5, 2, 3])
    assert thick.ct.shape == (36, 24, 20)
    # The sum over the slices, times their distance, is what it was, but for what the ends share.
    assert 5 * thick.ct[:, 12, 10].sum() == pytest.approx(3 * scan().ct[:, 12, 10].sum(), rel=0.05)


def test_a_turn_is_one_in_mm():
    """A vertebra goes round the middle of the CT by the angle, whatever its voxels."""
    before, after = scan(), turned(10, (0, 2))(scan())
    middle = apply_affine(before.affine, (np.array(before.ct.shape) - 1) / 2)
    was, now = (centre_mm(x, 20) - middle for x in (before, after))
    assert np.linalg.norm(now) == pytest.approx(np.linalg.norm(was), abs=1.5)
    cosine = was @ now / np.linalg.norm(was) / np.linalg.norm(now)
    assert np.degrees(np.arccos(cosine)) == pytest.approx(10, abs=2)
    assert now[1] == pytest.approx(was[1], abs=1)


def test_a_kernel_leaves_what_is_even_and_noise_has_its_strength():
    even = scan()._replace(ct=np.full((60, 24, 20), 40, np.int16))
    assert kernel(1)(even).ct == pytest.approx(40)
    assert noise(30)(even).ct.std() == pytest.approx(30, rel=0.02)
    edge = scan().ct[5].astype(float)
    assert kernel(1)(scan()).ct[5].std() > edge.std() > kernel(-1)(scan()).ct[5].std()


def test_three_vertebrae_are_left_whole():
    few = cut_to_three(scan())
    assert np.unique(few.labels).tolist() == [0, 21, 22, 23]
    for label in (21, 22, 23):
        assert (few.labels == label).sum() == (scan().labels == label).sum()
        assert centre_mm(few, label) == pytest.approx(centre_mm(scan(), label))


def test_the_file_has_the_axes_of_the_scan():
    geometry = _geometry(scan())
    assert geometry.shape == scan().ct.shape
    assert geometry.affine == pytest.approx(scan().affine)


def test_answers_are_held_against_each_other():
    before = {"L1": Said(LIKELY, 0.9), "L2": Said(NO_SIGN, 0.1), "L3": Said(NO_SIGN, 0.2)}
    after = {"L1": Said(REVIEW, 0.5), "L2": Said(NO_SIGN, 0.2)}
    assert compare(before, after) == {
        "vertebrae": 2,
        "other answers": {"L1": f"{LIKELY} -> {REVIEW}"},
        "largest move of a score": pytest.approx(0.4),
    }
