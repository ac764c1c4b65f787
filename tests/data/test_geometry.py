"""Orientation: canonical views of stored grids, and whether two grids are one."""

import itertools
import pickle

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from tests.data.nifti_files import SHAPE, save, stored_affine, values
from vfseg.data import volume
from vfseg.data.geometry import check_same_geometry, geometry_from
from vfseg.errors import UserError

ALL_48 = [
    "".join(codes)
    for order in itertools.permutations(("RL", "AP", "SI"))
    for codes in itertools.product(*order)
]


class TestOrientation:
    @pytest.mark.parametrize("tilt", [0.0, 0.3])
    @pytest.mark.parametrize("codes", ALL_48)
    def test_every_orientation(self, codes, tilt):
        affine = stored_affine(codes, tilt=tilt)
        geometry = geometry_from(SHAPE, affine)
        stored = values()
        canonical = geometry.to_canonical(stored)
        # Axes run towards superior, anterior, right: each is closest to its own world axis.
        direction = geometry.affine[:3, :3] / geometry.voxel_spacing
        assert np.argmax(np.abs(direction), axis=0).tolist() == [2, 1, 0]
        assert (direction[[2, 1, 0], [0, 1, 2]] > 0).all()
        # Every voxel keeps its place in the world.
        for index in np.ndindex(SHAPE):
            where = np.argwhere(canonical == stored[index])
            assert len(where) == 1
            np.testing.assert_allclose(
                apply_affine(geometry.affine, where[0]), apply_affine(affine, index), atol=1e-4
            )
        np.testing.assert_array_equal(geometry.to_stored(canonical), stored)
        assert np.shares_memory(canonical, stored)

    @pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "LAS", "oblique"])
    @pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
    def test_file_round_trip(self, codes, suffix, tmp_path):
        affine = stored_affine("LPS", tilt=0.4) if codes == "oblique" else stored_affine(codes)
        source = save(tmp_path / f"ct{suffix}", values() - 100, affine)
        ct = volume.read_ct(source)
        assert ct.array.dtype == np.int16
        out = tmp_path / f"out{suffix}"
        volume.write_ct(out, ct.array, ct.geometry)
        image, original = nib.load(out), nib.load(source)
        assert image.shape == original.shape
        np.testing.assert_array_equal(image.affine, original.affine)
        np.testing.assert_array_equal(np.asarray(image.dataobj), values() - 100)
        spacing = dict(zip(codes.replace("oblique", "LPS"), (0.7, 0.9, 2.5)))
        expected = [spacing.get(a) or spacing[b] for a, b in ("SI", "AP", "RL")]
        np.testing.assert_allclose(ct.voxel_spacing, expected, rtol=1e-6)

    def test_a_known_voxel(self, tmp_path):
        """In an LPS file the last index of each axis is left, posterior, superior."""
        array = np.zeros((3, 4, 5), np.int16)
        array[2, 3, 4] = 700
        ct = volume.read_ct(save(tmp_path / "ct.nii", array, stored_affine("LPS")))
        assert ct.shape == (5, 4, 3)
        assert ct.array[4, 0, 0] == 700

    @given(
        codes=st.sampled_from(ALL_48),
        shape=st.tuples(*[st.integers(1, 6)] * 3),
        tilt=st.floats(-0.5, 0.5),
        spacing=st.tuples(*[st.floats(0.2, 5)] * 3),
    )
    @settings(max_examples=60, deadline=None)
    def test_views_are_inverse(self, codes, shape, tilt, spacing):
        geometry = geometry_from(shape, stored_affine(codes, spacing, tilt=tilt))
        stored = values(shape)
        np.testing.assert_array_equal(geometry.to_stored(geometry.to_canonical(stored)), stored)
        assert geometry.to_canonical(stored).shape == geometry.shape
        # nibabel's own reorientation reaches the same grid.
        if not tilt:
            same = geometry.stored_affine @ inv_ornt_aff(
                nib.orientations.ornt_transform(
                    axcodes2ornt(tuple(codes)), axcodes2ornt(("S", "A", "R"))
                ),
                shape,
            )
            np.testing.assert_allclose(geometry.affine, same, atol=1e-6)

    def test_wrong_shape_is_refused(self):
        geometry = geometry_from(SHAPE, stored_affine("PIR"))
        with pytest.raises(ValueError, match="stored grid"):
            geometry.to_canonical(np.zeros((7, 6, 5)))
        with pytest.raises(ValueError, match="canonical grid"):
            geometry.to_stored(np.zeros(SHAPE))
        with pytest.raises(ValueError, match="on a grid"):
            volume.Volume(np.zeros(SHAPE), geometry)

    def test_pickles(self):
        geometry = pickle.loads(pickle.dumps(geometry_from(SHAPE, stored_affine("PIR"))))
        assert geometry.shape == (6, 5, 7)
        assert geometry.header.get_sform().shape == (4, 4)


class TestSameGeometry:
    def grid(self, shape=SHAPE, **affine):
        return geometry_from(shape, stored_affine("LAS", **affine))

    def test_rounding_is_tolerated(self):
        shifted = self.grid(origin=(-30.0, 12.0, 400.05))  # 0.05 mm of 0.7
        check_same_geometry(self.grid(), shifted, "ct", "mask")

    def test_order_of_axes_is_free(self):
        affine = stored_affine("LAS")
        flipped = affine @ np.array([[-1, 0, 0, 4], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        check_same_geometry(self.grid(), geometry_from(SHAPE, flipped), "ct", "mask")

    def test_shift_is_named_in_mm(self):
        with pytest.raises(UserError, match=r"mask.*ct.* 3 mm"):
            check_same_geometry(
                self.grid(), self.grid(origin=(-30.0, 12.0, 403.0)), "ct.nii", "mask.nii"
            )

    def test_rotation_shows_at_the_corners(self):
        with pytest.raises(UserError, match="mm"):
            check_same_geometry(self.grid(), self.grid(tilt=0.05), "ct", "mask")

    def test_shape(self):
        with pytest.raises(UserError, match="shape"):
            check_same_geometry(self.grid(), self.grid((5, 6, 8)), "ct", "mask")
