"""What the colours of a layer stand for: a bar beside its switch, with the values at its ends."""

from typing import NamedTuple

import numpy as np
from matplotlib.colors import Colormap, to_hex

_STOPS = 9


class ColourScale(NamedTuple):
    """A bar of colours.

    Attributes:
        low: value at its left end, two decimals.
        high: value at its right end, two decimals.
        gradient: its colours, as an image of CSS.
    """

    low: str
    high: str
    gradient: str


def colour_scale(colours: Colormap, low: float, high: float) -> ColourScale:
    """The bar of a colour map.

    Args:
        colours: of the layer; their opacity is left out.
        low: value of its first colour.
        high: value of its last colour.
    """
    stops = ", ".join(to_hex(colours(at)) for at in np.linspace(0.0, 1.0, _STOPS))
    return ColourScale(f"{low:.2f}", f"{high:.2f}", f"linear-gradient(to right, {stops})")
