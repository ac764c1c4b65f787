"""Verdicts on found vertebrae are compared level by level; one that is missing is another."""

from benchmarks.studies.localiser.verdicts import report


def test_shares_are_of_the_vertebrae_that_are_there():
    masks = {"L1": "no sign", "L2": "review", "L3": "fracture likely"}
    cases = {
        "all": {"found": masks, "points": masks, "outlines": masks, "masks": masks},
        "one off": {
            "found": {"L2": "review", "L3": "review"},  # L1 was not found
            "points": masks | {"L1": "review"},
            "outlines": masks,
            "masks": masks,
        },
        "none": {"found": {}, "points": masks, "outlines": masks, "masks": masks},
    }
    lines = report(list(cases.items()))
    assert lines[1] == "one off: found as masks 1/3, points as masks 2/3, outlines as masks 3/3"
    assert lines[-1] == "all: found as masks 4/9, points as masks 8/9, outlines as masks 9/9"
    assert len(lines) == 4
