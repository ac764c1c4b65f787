"""One CT beside MONAI: both look at the same places."""

import nibabel as nib
import numpy as np

from benchmarks.one_ct import FILES, middles_of


def test_the_middle_of_a_box_is_that_of_its_voxels_in_the_world(tmp_path):
    """Voxels 2 and 3, 0 to 4, and 7: their middles are at 2.5, 2 and 7, times 2, 3, 4 mm, moved."""
    affine = np.array([[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), affine), tmp_path / FILES["ct"])
    (tmp_path / "boxes.csv").write_text("id,x0,x1,y0,y1,z0,z1\n20,2,4,0,5,7,8\n")
    np.testing.assert_allclose(middles_of(tmp_path), [[15, 26, 58]])
