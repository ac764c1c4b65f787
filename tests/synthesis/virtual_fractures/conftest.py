"""The block that the tests share; none changes it."""

import pytest

from tests.synthesis.virtual_fractures.block import block
from vfseg.data.anatomy import read_vertebrae


@pytest.fixture(scope="session")
def whole():
    ct, labels = block()
    reading = read_vertebrae(labels, "verse", "block")
    return ct, labels, reading, "L3"
