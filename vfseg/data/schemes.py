"""The names of vertebral levels, and the numbers that label schemes give them."""

LEVELS = ("T4", "T5", "T6", "T7", "T8", "T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5")

_CERVICAL = tuple(f"C{i}" for i in range(1, 8))
_THORACIC = tuple(f"T{i}" for i in range(1, 13))
_LUMBAR = tuple(f"L{i}" for i in range(1, 6))
COLUMN = _CERVICAL + _THORACIC + _LUMBAR
"""C1 to L5, cranial to caudal."""
_UPWARDS = tuple(reversed(COLUMN))  # L5 to C1

# Id -> name of all parts of the spine that a scheme knows.
SPINE_IDS: dict[str, dict[int, str]] = {
    "verse": {
        **dict(enumerate(COLUMN, 1)),
        **{25: "L6", 26: "sacrum", 27: "coccyx", 28: "T13"},
    },
    "totalsegmentator": {25: "sacrum", 26: "S1", **dict(enumerate(_UPWARDS, 27))},
    "totalsegmentator_v1": dict(enumerate(_UPWARDS, 18)),
    "l5_to_t4": dict(enumerate(_UPWARDS, 1)),
}
SCHEMES: dict[str, dict[int, str]] = {
    scheme: {label: name for label, name in names.items() if name in LEVELS}
    for scheme, names in SPINE_IDS.items()
}

VERSE_LABELS = {name: label for label, name in SPINE_IDS["verse"].items()}
"""VerSe's id of each level."""
