"""A CT seen in many ways: the points stay on what they mark."""

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from benchmarks.studies.localiser.views import CROPPED, views
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume


def test_the_points_of_every_view_lie_on_their_bodies():
    affine = np.array([[-1.5, 0, 0, 40], [0, 0, 1.0, -30], [0, -1.2, 0, 200], [0, 0, 0, 1.0]])
    geometry = geometry_from((50, 160, 60), affine)
    points = {name: np.array([140.0 - 20 * k, 28, 25]) for k, name in enumerate(
        ("T11", "T12", "L1", "L2", "L3", "L4"))}  # fmt: skip
    axes = np.meshgrid(*map(np.arange, geometry.shape), indexing="ij", sparse=True)
    hu = np.full(geometry.shape, 0, np.int16)
    for place in points.values():
        away = sum(((a - p) * s) ** 2 for a, p, s in zip(axes, place, geometry.voxel_spacing))
        hu[away < 8**2] = 1000
    seen = list(views(Volume(hu, geometry), points))
    assert len(seen) == 1 + 1 + 3 + 3 + 1
    for view in seen:
        smooth = ndimage.gaussian_filter(view.ct.array.astype(float), 3 / view.ct.voxel_spacing)
        for place in view.points.values():
            index = apply_affine(np.linalg.inv(view.ct.affine), place)
            value = ndimage.map_coordinates(smooth, index[:, None], order=1)[0]
            assert value > 500, view.name
    cropped = next(view for view in seen if view.name.startswith(f"{CROPPED} "))
    assert list(cropped.points) == ["T11", "T12", "L1", "L2", "L3"]
    assert cropped.ct.shape[0] < 120
