"""Packages that some tests need beyond the extra `test`; without them these tests skip, saying so.

CI runs them where everything is installed, and there a skip is a failure.
"""

import pytest


def import_torch():
    """PyTorch."""
    return pytest.importorskip("torch", reason="needs the torch extra: pip install 'vfseg[torch]'")
