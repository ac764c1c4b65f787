"""Reference lesions: what counts as one, and how thick it is."""

import numpy as np
import pytest

from tests.audit.data_set import audit, sheet, write_case
from vfseg.audit.lesions import sheet_thickness


def test_components_of_a_binary_mask_are_its_lesions(tmp_path):
    result = audit(write_case(tmp_path, "a", fractures=sheet("L1") + sheet("L3")))
    owners = [lesion.owners[0][0] for lesion in result.cases[0].lesions]
    assert sorted(owners) == ["L1", "L3"]


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_thickness_of_a_wide_sheet(layers):
    mask = np.ones((layers, 100, 100), bool)
    assert sheet_thickness(mask, np.array([0.7, 0.5, 0.5])) == pytest.approx(0.7 * layers, rel=0.06)
