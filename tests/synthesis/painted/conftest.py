"""Painted cases of few voxels."""

import pytest

from vfseg.synthesis.painted import field


@pytest.fixture(autouse=True, scope="module")
def coarse():
    """Voxels as large as one may still measure in: small cases are made quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(field, "IN_PLANE_MM", (1.3, 1.6))
        patch.setattr(field, "SLICE_MM", (1.5, 3.0))
        yield
