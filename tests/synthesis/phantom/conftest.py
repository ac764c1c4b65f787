"""Cases that the tests share; none changes them."""

import pytest

from tests.synthesis.made import make_case
from tests.synthesis.phantom.measuring import LUMBAR


@pytest.fixture(scope="session")
def healthy():
    return make_case(5, {**LUMBAR, "voxel_spacing": 1.0}, fractures={})


@pytest.fixture(scope="session")
def drawn():
    """A handful of random cases."""
    return [make_case(seed, {"fracture_probability": 0.5}) for seed in range(4)]
