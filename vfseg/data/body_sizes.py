"""Sizes of the usual vertebral bodies of an adult."""

BODY_MM: dict[str, tuple[float, float, float]] = {
    "T3": (17.5, 20, 25),
    "T4": (18, 21, 25),
    "T5": (18.5, 22.5, 25.5),
    "T6": (19, 24, 26.5),
    "T7": (19.5, 25.5, 28),
    "T8": (20, 27, 29.5),
    "T9": (20.7, 28, 31),
    "T10": (21.5, 29, 33),
    "T11": (22.5, 29.5, 36),
    "T12": (24, 30, 39),
    "L1": (25.5, 31, 41),
    "L2": (26.7, 32, 43),
    "L3": (27.3, 33, 45),
    "L4": (27.5, 34, 48),
    "L5": (28.2, 35, 50),
    "S1": (28, 33, 52),
}
"""Mean height at the rim, depth (front to back) and width of T4 to L5 and their neighbours, mm.

Heights of 18 mm at T4, 24 mm at T12 and 20 to 30 mm in the lumbar spine, lumbar depths of 30 to 35
and widths of 40 to 50 mm follow published morphometry (PMC2899959, table 1); what lies between
them grows evenly.
"""
