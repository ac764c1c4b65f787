"""The network over a whole CT: slabs leave no seam, and places keep their millimetres."""

import numpy as np
import pytest

from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume
from vfseg.localisation import heat
from vfseg.localisation.coarse import CELL, SPACING_MM


@pytest.fixture
def shapes(monkeypatch):
    """In place of the network: the heat is the HU, the level that of each cell's first voxel."""
    seen = []

    def run(params, hu):
        seen.append(hu.shape)
        return hu[None], hu[None, ::CELL, ::CELL, ::CELL, None]

    monkeypatch.setattr(heat, "_run", run)
    return seen


def tall(length, tissue):
    """A CT of voxels of 4 mm with a rod of `tissue` (slices) whose HU is its height."""
    hu = np.full((length, 40, 40), -1000, np.int16)
    hu[tissue, 10:30, 15:25] = np.arange(length, dtype=np.int16)[tissue, None, None]
    geometry = geometry_from(hu.shape[::-1], np.diag([SPACING_MM] * 3 + [1.0]))
    return Volume(geometry.to_canonical(hu.transpose(2, 1, 0)), geometry)


@pytest.mark.parametrize(("length", "slabs"), [(100, 1), (700, 4)])
def test_slabs_are_joined_without_a_seam(shapes, length, slabs):
    ct = tall(length, slice(0, length))
    small = heat.coarsened(ct)
    seen, level = heat.see(small, None)
    assert len(shapes) == slabs
    assert all(size <= 256 and size % 32 == 0 for shape in shapes for size in shape[:1])
    d, h, w = np.rint(small.origin / SPACING_MM).astype(int)
    np.testing.assert_allclose(seen[:length, 20 - h, 20 - w], np.arange(length), atol=1e-2)
    np.testing.assert_allclose(
        level[:, (20 - h) // CELL, (20 - w) // CELL, 0], seen[::CELL, 20 - h, 20 - w]
    )
    assert d == 0


def test_air_around_the_patient_is_cut_off_and_the_origin_says_so(shapes):
    ct = tall(120, slice(50, 80))
    small = heat.coarsened(ct)
    np.testing.assert_allclose(small.origin / SPACING_MM, [46, 6, 11])
    seen, _ = heat.see(small, None)
    assert seen.shape[0] == 64
    np.testing.assert_allclose(seen[5:30, 8, 8], np.arange(51, 76), atol=1e-2)


def test_a_ct_of_air_is_looked_at_whole(shapes):
    ct = tall(40, slice(0, 0))
    small = heat.coarsened(ct)
    assert (small.origin == 0).all()
    assert small.hu.shape == ct.shape
    seen, _ = heat.see(small, None)
    assert (seen <= -999).all()


def test_what_is_looked_at_keeps_nothing_of_the_ct(shapes):
    ct = tall(40, slice(10, 30))
    assert not np.shares_memory(heat.coarsened(ct).hu, ct.array)
    assert heat.coarsened(ct).hu.base is None
