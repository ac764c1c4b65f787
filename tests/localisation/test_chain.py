"""Chains of levels: names from order and steps, what is unsure, what is settled."""

import numpy as np
import pytest
from scipy import stats

from vfseg.localisation.chain import PATIENT_SD, STEP_SD, best_chain, fit_of_steps, named_from
from vfseg.localisation.levels import CLASSES, NAMES, STEP_MM, class_of
from vfseg.localisation.peaks import Peaks


def spine(first, last, *, scale=1.0, sure=0.9, seen=None):
    """Peaks of a straight spine; the network sees each level with the probability `sure`."""
    levels = list(range(NAMES.index(first), NAMES.index(last) + 1))
    heights = -np.concatenate([[0], np.cumsum(scale * STEP_MM[levels[:-1]])])
    places = np.stack([heights, np.zeros(len(levels)), np.zeros(len(levels))], 1)
    chances = np.full((len(levels), CLASSES), (1 - sure) / (CLASSES - 1))
    for row, level in enumerate(levels):
        chances[row, class_of(NAMES[level])] = sure
    return Peaks(places, np.full(len(levels), 0.9), np.log(chances))


def joined(*parts):
    """Peaks of several together, cranial to caudal."""
    columns = [
        np.concatenate(rows) for rows in zip(*((p.places, p.heights, p.levels) for p in parts))
    ]
    order = np.argsort(-columns[0][:, 0], kind="stable")
    return Peaks(*(column[order] for column in columns))


@pytest.mark.parametrize(
    ("first", "last"), [("T4", "L5"), ("C5", "L3"), ("L1", "S1"), ("T9", "L1")]
)
def test_a_chain_names_every_body_of_a_spine(first, last):
    chain = best_chain(spine(first, last))
    assert chain.names == list(NAMES[NAMES.index(first) : NAMES.index(last) + 1])
    assert chain.probability > 0.9


def test_a_single_wrong_level_does_not_break_the_chain():
    peaks = spine("T6", "L3")
    peaks.levels[4] = peaks.levels[7]  # T10 looks like L1
    assert best_chain(peaks).names == list(NAMES[NAMES.index("T6") : NAMES.index("L3") + 1])


@pytest.mark.parametrize("scale", [0.85, 1.2])
def test_the_size_of_a_patient_does_not_move_names(scale):
    """Longer steps are those of lower levels, but here all of them are longer."""
    chain = best_chain(spine("T4", "L4", scale=scale, sure=0.1))
    assert chain.names == list(NAMES[NAMES.index("T4") : NAMES.index("L4") + 1])


def test_steps_fit_as_a_normal_distribution_with_one_part_in_common_says():
    rng = np.random.default_rng(3)
    levels = np.array([6, 7, 9, 10, 11])
    usual = np.array([STEP_MM[6], STEP_MM[7] + STEP_MM[8], STEP_MM[9], STEP_MM[10]])
    covariance = np.full((4, 4), PATIENT_SD**2) + np.diag(np.full(4, STEP_SD**2))
    of_usual = stats.multivariate_normal.logpdf(np.zeros(4), np.zeros(4), covariance)
    for _ in range(5):
        off = rng.normal(0, 0.2, 4)
        places = np.zeros((5, 3))
        places[1:, 0] = -np.cumsum(usual * np.exp(off))
        expected = stats.multivariate_normal.logpdf(off, np.zeros(4), covariance) - of_usual
        assert fit_of_steps(places, levels) == pytest.approx(expected)
    assert fit_of_steps(places[:1], levels[:1]) == 0


def test_peaks_beside_the_spine_are_left_out():
    ribs = spine("T6", "T8")
    ribs.places[:, 2] += 70
    peaks = joined(spine("T4", "L2"), ribs)
    chain = best_chain(peaks)
    assert (peaks.places[chain.members, 2] == 0).all()
    assert len(chain.members) == len(spine("T4", "L2").heights)


def test_a_body_without_a_peak_is_counted():
    whole = spine("T8", "L4")
    missing = np.arange(len(whole.heights)) == 4
    names = list(NAMES[NAMES.index("T8") : NAMES.index("L4") + 1])
    assert best_chain(whole.without(missing)).names == names[:4] + names[5:]


def test_without_any_sign_of_the_level_names_are_unsure_and_one_name_settles_them():
    peaks = spine("T5", "T9", sure=1 / CLASSES)
    chain = best_chain(peaks)
    assert chain.probability < 0.6
    assert sum(chain.shifts.values()) == pytest.approx(1, abs=0.05)
    settled = named_from(chain, "T9")
    assert settled.names == ["T5", "T6", "T7", "T8", "T9"]
    assert settled.probability == 1


def test_a_sacrum_is_no_lowest_vertebra():
    peaks = spine("L2", "S1")
    assert named_from(best_chain(peaks), "L4").names == ["L1", "L2", "L3", "L4"]


def test_a_name_that_leaves_no_room_is_refused():
    peaks = spine("T1", "L5")
    with pytest.raises(ValueError, match="17 bodies do not fit above T1"):
        named_from(best_chain(peaks), "T1")


def test_nothing_is_no_spine():
    nothing = Peaks(np.zeros((0, 3)), np.zeros(0), np.zeros((0, CLASSES)))
    assert best_chain(nothing) is None
    low = spine("T5", "T9")
    assert best_chain(Peaks(low.places, np.full(5, 0.11), low.levels)) is None
