import re

import numpy as np
import pytest

from vfseg.evaluation.findings import Findings
from vfseg.evaluation.lists import LESION_COLUMNS, VERTEBRA_COLUMNS
from vfseg.evaluation.sentences import sentences, table

MEASURED = {
    **{"loss_anterior": 0.31, "loss_middle": 0.39, "loss_posterior": 0.02},
    **{"genant": 2, "genant_low": 2, "genant_high": 3},
}
INTACT = {
    **{"loss_anterior": 0.01, "loss_middle": -0.03, "loss_posterior": None},
    **{"genant": 0, "genant_low": 0, "genant_high": 0},
}


def vertebra(level, **cells):
    blank = dict.fromkeys(VERTEBRA_COLUMNS) | {"flags": "", "map_ml": 0.0, "specks_ml": 0.0}
    return blank | {"level": level} | cells


def lesion(level, volume_ml, height=None, depth=None, side=None):
    cells = {"level": level, "volume_ml": volume_ml, "height": height, "depth": depth, "side": side}
    return dict.fromkeys(LESION_COLUMNS) | cells


def said(vertebrae, lesions=()):
    return sentences(Findings(list(vertebrae), list(lesions), np.zeros((1, 1, 1), np.uint16)))


LIKELY = {"verdict": "fracture likely", "probability": 0.9312, "why": "map and heights"}


def test_a_vertebra_that_needs_a_look_gets_one_sentence():
    rows = [
        vertebra("T12", verdict="no sign", probability=0.01, why="", **INTACT),
        vertebra("L1", map_ml=0.651, **LIKELY, **MEASURED),
    ]
    lesions = [
        lesion("L1", 0.4, "upper endplate", "anterior"),
        lesion("T12", 3, "middle", "middle"),
    ]
    assert said(rows, lesions) == [
        "L1: fracture likely (0.93). Height loss 39 % (middle), Genant 2, range 2-3; map 0.65 mL "
        "at the upper endplate."
    ]


def test_an_uncertain_name_is_said_to_be_one():
    (line,) = said([vertebra("L1", flags="cut uncertain", map_ml=0.2, **LIKELY, **MEASURED)])
    assert line.startswith("L1 (name uncertain): fracture likely (0.93).")


@pytest.mark.parametrize(
    ("cells", "lesions", "words"),
    [
        (INTACT, [], "Height loss 1 % (anterior), Genant 0; map: no lesion of 0.1 mL."),
        (INTACT | {"loss_anterior": 0.004}, [], "No loss of height; map: no lesion of 0.1 mL."),
        (INTACT | {"specks_ml": 0.06}, [], "map: no lesion of 0.1 mL, specks of 0.06 mL."),
        (INTACT | {"map_ml": 0.2}, [lesion("L1", 0.2, None, "arch", "left")], "in the arch, left."),
        (
            INTACT | {"map_ml": 0.5},
            [
                lesion("L1", 0.2, "middle", "posterior"),
                lesion("L1", 0.3, "lower endplate", "middle"),
            ],
            "map 0.50 mL at the lower endplate and 1 more.",
        ),
        ({"heights_missing": "no label map"}, [], "Heights not measured (no label map); map: no"),
    ],
)
def test_what_there_is_is_said(cells, lesions, words):
    (sentence,) = said([vertebra("L1", verdict="review", probability=0.4, **cells)], lesions)
    assert sentence.startswith("L1: review (0.40). ")
    assert words in sentence


def test_where_nothing_is_to_be_looked_at_that_is_said():
    rows = [vertebra(level, verdict="no sign", probability=0.01) for level in ("L1", "L2")]
    assert said(rows) == ["No sign of a fracture in 2 vertebrae."]
    assert said(rows[:1]) == ["No sign of a fracture in 1 vertebra."]


@pytest.mark.parametrize(
    ("cells", "asked"),
    [
        ({"suspected": True} | INTACT, True),
        (MEASURED, True),
        ({"suspected": False} | INTACT, False),
    ],
)
def test_a_model_without_a_rule_asks_where_map_or_heights_do(cells, asked):
    (sentence,) = said([vertebra("L3", **cells)])
    assert sentence.startswith("L3: review. " if asked else "No sign")


def test_the_table_has_a_line_for_every_vertebra():
    rows = [
        vertebra("L1", map_ml=0.651, flags="cut", **LIKELY, **MEASURED),
        vertebra("L2", verdict="no sign", probability=0.004, why=""),
    ]
    header, first, second = table(rows)
    assert tuple(re.split(" {2,}", header)) == (
        *("level", "verdict", "probability", "Genant", "loss", "map mL", "why", "flags"),
    )
    assert tuple(re.split(" {2,}", first)) == (
        *("L1", "fracture likely", "0.93", "2 (2-3)", "39 %", "0.65", "map and heights", "cut"),
    )
    assert second.split() == ["L2", "no", "sign", "0.00", "0.00"]
    column = header.index("map mL")
    assert first[column:].startswith("0.65")
    assert second[column:].startswith("0.00")


def test_a_loss_that_is_none_has_no_sign():
    row = INTACT | {"loss_anterior": -0.002, "loss_middle": -0.03}
    assert "  0 %" in table([vertebra("L1", verdict="no sign", probability=0.0, **row)])[1]


def test_the_same_is_said_in_japanese():
    rows = [vertebra("L1", map_ml=0.651, **LIKELY, **MEASURED)]
    lesions = [lesion("L1", 0.4, "upper endplate", "anterior")]
    found = Findings(rows, lesions, np.zeros((1, 1, 1), np.uint16))
    assert sentences(found, "ja") == [
        "L1：骨折の可能性が高い（0.93）。椎体高減少 39 %（中央）、Genant 分類 2（範囲 2-3）、"
        "マップ 0.65 mL、上位終板。"
    ]
