"""Which fracture belongs to which vertebra."""

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM, attribute


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
