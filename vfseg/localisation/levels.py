"""The levels that the localiser tells apart, cranial to caudal, and what it expects of them."""

import numpy as np

from vfseg.data.body_sizes import BODY_MM

NAMES = (
    *(f"C{n}" for n in range(3, 8)),
    *(f"T{n}" for n in range(1, 13)),
    *(f"L{n}" for n in range(1, 6)),
    "S1",
)
"""C3 to S1. What lies above T4 and below L5 is found as well: a chain that goes on in the neck or
ends on the sacrum can be named."""

CLASSES = 1 + len(NAMES) - NAMES.index("T1")
"""Classes of the network: the neck as one, then T1 to S1."""

_UPPER_STEP_MM = {
    "C3": 17.0, "C4": 17.0, "C5": 17.0, "C6": 17.5, "C7": 19.0, "T1": 20.0, "T2": 21.0,
}  # fmt: skip
_DISC_MM = (3.5, 3.5, 3.5, 3.6, 3.8, 4.0, 4.4, 5.0, 5.8, 6.8, 8.0, 9.0, 10.0, 11.0, 10.5)


def class_of(level: str) -> int:
    """Class of a level: 0 for C3 to C7, 1 for T1, and so on.

    >>> class_of("C6"), class_of("T1"), class_of("S1") == CLASSES - 1
    (0, 1, True)
    """
    return max(NAMES.index(level) - NAMES.index("T1") + 1, 0)


def _steps() -> np.ndarray:
    steps = [_UPPER_STEP_MM[name] for name in NAMES if name in _UPPER_STEP_MM]
    sizes = list(BODY_MM.values())  # T3 to S1
    between = [
        (upper[0] + lower[0]) / 2 + disc for upper, lower, disc in zip(sizes, sizes[1:], _DISC_MM)
    ]
    return np.array([*steps, *between])


STEP_MM = _steps()
"""Usual distance from the middle of a level's body to that of the next one, mm; one for each level
of `NAMES` but the last."""
