"""CTs that should be refused are what their names say, and screws lie beside the middles."""

import numpy as np

from benchmarks.studies.localiser.wrong import with_screws, wrong_cts
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume

POINTS = {"L1": np.array([30.0, 20, 25]), "L2": np.array([15.0, 22, 25])}


def chest():
    """Bone of 500 HU around each point, in water."""
    geometry = geometry_from((50, 80, 40), np.diag([2.0, 2.0, 2.0, 1.0]))
    hu = np.zeros(geometry.shape, np.int16)
    for place in POINTS.values():
        d, h, w = place.astype(int)
        hu[d - 4 : d + 5, h - 6 : h + 7, w - 8 : w + 9] = 500
    return Volume(hu, geometry)


def test_they_are_what_their_names_say():
    whole = chest()
    cts = {wrong.name: wrong.ct for wrong in wrong_cts(whole, POINTS)}
    assert len(cts) == 7
    front = cts["the front of a chest, without its spine"]
    assert front.array.max() == 0
    # 22 voxels and 35 mm, 17.5 voxels, before the first one that is kept.
    np.testing.assert_allclose(front.affine[:3, 3] - whole.affine[:3, 3], [0, 39 * 2, 0])
    assert (cts["two patients side by side"].array == 500).sum() == 2 * (whole.array == 500).sum()
    np.testing.assert_allclose(cts["a chest of 0.4 times its size"].voxel_spacing, [0.8] * 3)
    # Per slice the area of a circle of 10 cm radius.
    water = (cts["a cylinder of water"].array == 0).sum((1, 2)) * 9
    np.testing.assert_allclose(water, np.pi * 100**2, rtol=0.02)
    assert len(np.unique(cts["a cylinder of water with eight rods"].array)) == 2 + 8 - 1 + 1


def test_screws_lie_beside_the_middle_of_their_vertebra_only():
    whole = chest()
    array = with_screws(whole, POINTS, ["L2"]).array
    d, h, w = POINTS["L2"].astype(int)
    assert array[d, h, w] == 500
    metal = np.argwhere(array == 3071) * 2.0
    assert np.abs(metal[:, 0] - 2 * d).max() <= 3
    np.testing.assert_allclose(sorted(set(np.sign(metal[:, 2] - 2 * w))), [-1, 1])
    np.testing.assert_allclose(np.abs(metal[:, 2] - 2 * w).mean(), 11, atol=1)
    assert whole.array.max() == 500
