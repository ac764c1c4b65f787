"""Which fracture belongs to which vertebra."""

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM, attribute, nearest_labels
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume


@given(st.data())
@hypothesis_settings(max_examples=60, deadline=None)
def test_attribution_against_a_search_through_all_voxels(data):
    shape = (5, 4, 6)
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    shown = rng.random(shape) < data.draw(st.sampled_from([0.0, 0.02, 0.1]))
    vertebrae = rng.choice(3, shape, p=data.draw(st.sampled_from([(0.9, 0.05, 0.05), (1, 0, 0)])))
    spacing = data.draw(st.sampled_from([0.8, 1.0, 1.25, 2.5]))
    expected = np.zeros(shape, bool)
    for voxel in np.argwhere(shown):
        distance = {
            owner: min(
                (
                    np.sqrt(((voxel - place) ** 2).sum()) * spacing
                    for place in np.argwhere(vertebrae == owner)
                ),
                default=np.inf,
            )
            for owner in (1, 2)
        }
        near = distance[1] <= ATTRIBUTION_MARGIN_MM
        expected[tuple(voxel)] = near and distance[1] <= distance[2]
    np.testing.assert_array_equal(attribute(shown, vertebrae, spacing), expected)
    np.testing.assert_array_equal(attribute(shown, None, spacing), shown)  # boxes only


def test_each_voxel_goes_to_the_nearest_part_of_the_spine_within_the_margin():
    labels = np.zeros((1, 1, 24), np.uint8)
    labels[0, 0, [6, 16]] = 20, 21
    labels[0, 0, 11] = 99  # no part of the spine
    line = np.arange(24)
    for spacing in (0.5, 1.0, 2.5):
        reach = int(ATTRIBUTION_MARGIN_MM / spacing)
        expected = np.zeros(24, int)
        for label, at in ((20, 6), (21, 16)):
            expected[abs(line - at) <= reach] = label
        volume = Volume(labels, geometry_from((24, 1, 1), np.diag([spacing] * 3 + [1])))
        voxels = np.stack([0 * line, 0 * line, line], axis=1)
        for some in (voxels, voxels[3:14], voxels[:1]):
            found = nearest_labels(some, volume, (20, 21, 22))
            assert found.tolist() == expected[some[:, 2]].tolist()
