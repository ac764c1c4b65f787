"""VerSe's measures of built results."""

import numpy as np
import pytest

from benchmarks.studies.localiser.score import Score, score, true_name
from vfseg.localisation.find import Found, FoundVertebra

TRUE = {name: np.array([0.0, 0, -30 * k]) for k, name in enumerate(("L1", "L2", "L3"))}


def found(names, shift=(0.0, 0.0, 0.0)):
    places = [(shift[0], shift[1], shift[2] - 30.0 * k) for k in range(len(names))]
    vertebrae = [FoundVertebra(name, place, 0.9) for name, place in zip(names, places)]
    return Found(tuple(vertebrae), False, 1.0, {})


def test_all_are_identified_at_their_distance():
    assert score(found(["L1", "L2", "L3"], (3, 4, 0)), TRUE) == Score(3, 3, 3, pytest.approx(15))


def test_names_off_by_one_are_placed_and_not_identified():
    assert score(found(["T12", "L1", "L2"]), TRUE) == Score(3, 0, 3, 0)


def test_the_same_name_too_far_away_is_not_identified():
    assert score(found(["L1", "L2", "L3"], (0, 21, 0)), TRUE) == Score(3, 0, 0, 0)


def test_nothing_found_is_all_missed():
    assert score(None, TRUE) == Score(3, refused=1)
    total = score(None, TRUE).plus(score(found(["L1", "L2"]), TRUE))
    assert (total.true, total.identified) == (6, 2)
    assert total.line() == "2/6 identified (0.33), 2/6 placed, mean distance 0.0 mm, 1 refused"


def test_the_true_name_of_a_place_goes_on_beyond_the_labelled_ones():
    assert true_name((4, 4, -33), TRUE) == "L2"
    assert true_name((0, 0, -92), TRUE) == "L4"
    assert true_name((0, 0, 28), TRUE) == "T12"
    assert true_name((0, 0, 200), TRUE) is None
    lowest = {"L5": np.zeros(3)}
    assert true_name((0, 0, -30), lowest) is None, "the sacrum is no vertebra"
