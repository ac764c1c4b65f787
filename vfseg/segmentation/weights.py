"""The segmenter's weights, as they come with the package."""

from pathlib import Path
from typing import Any

from vfseg.localisation.weights import read_params
from vfseg.segmentation.network import first_params

SHIPPED = Path(__file__).parent / "weights.npz"
"""The weights of the package; beside them their card, `CARD.md`."""


def read_weights(path: Path = SHIPPED) -> Any:
    """Parameters of the segmenter, float32.

    Raises:
        UserError: there is no such file; it is damaged, or of other networks.
    """
    return read_params(path, first_params(0))
