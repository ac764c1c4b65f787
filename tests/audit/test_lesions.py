"""Reference lesions: what counts as one, and how thick it is."""

import numpy as np
import pytest

from tests.audit.data_set import audit, sheet, write_case
from vfseg.audit.lesions import sheet_thickness


def test_components_of_a_binary_mask_are_its_lesions(tmp_path):
    result = audit(write_case(tmp_path, "a", fractures=sheet("L1") + sheet("L3")))
    owners = [lesion.owners[0][0] for lesion in result.cases[0].lesions]
    assert sorted(owners) == ["L1", "L3"]


def test_one_id_is_one_lesion_where_any_mask_of_the_set_has_several(tmp_path):
    """As evaluation counts them: the kind of mask is a matter of the data set, not of a case."""
    two_parts = write_case(tmp_path, "a", fractures=sheet("L1") + sheet("L3"))
    apart = write_case(tmp_path, "b", seed=1, fractures=sheet("L1") + sheet("L3", 2))
    white = write_case(tmp_path, "c", seed=2, fractures=sheet("L2", 255))
    for others, lesions in (((white,), (2, 1)), ((apart,), (1, 2)), ((white, apart), (1, 1, 2))):
        cases = audit(two_parts, *others).cases
        assert tuple(len(case.lesions) for case in cases) == lesions
        assert sum(lesion.components for lesion in cases[0].lesions) == 2


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_thickness_of_a_wide_sheet(layers):
    mask = np.ones((layers, 100, 100), bool)
    assert sheet_thickness(mask, np.array([0.7, 0.5, 0.5])) == pytest.approx(0.7 * layers, rel=0.06)
