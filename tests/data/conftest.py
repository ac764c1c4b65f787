"""Built spines that the tests share; none changes them."""

import pytest

from tests.data.built_spine import NAMES, spine


@pytest.fixture(scope="session")
def whole():
    return spine(NAMES)


@pytest.fixture(scope="session")
def thoracolumbar():
    return spine()
