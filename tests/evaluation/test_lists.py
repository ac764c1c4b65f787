from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from tests.evaluation.spines import DEPTH, VERSE, Block, build, vertebrae_of
from vfseg.data.box import box_between, whole
from vfseg.data.geometry import geometry_from
from vfseg.data.levels import Vertebra
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.evaluation.genant import height_losses
from vfseg.evaluation.heights import NO_LABEL_MAP, measure_spine
from vfseg.evaluation.lesions import Detections
from vfseg.evaluation.lists import LESION_COLUMNS, VERTEBRA_COLUMNS, lesion_rows, vertebra_rows
from vfseg.evaluation.map_evidence import MapEvidence
from vfseg.inference.thresholds import Thresholds, VerdictRule

RULE = VerdictRule(
    both=(-2.0, 1.0, 0.5), map=(0.0, 1.0), heights=(-2.0, 1.0), review=0.3, likely=0.7
)
THRESHOLDS = Thresholds(slice=0.5, fused=0.5, vertebra=0.5, verdict=RULE)
LEVELS = ("T12", "L1", "L2", "L3")


@pytest.fixture(scope="module")
def spine():
    """L2 has lost 40 % in front; the others are alike."""
    blocks = [Block(level) for level in LEVELS]
    blocks[2] = Block("L2", 12, 24)
    labels, centres = build(blocks)
    return labels, vertebrae_of(labels), centres


def measured(labels, vertebrae):
    return measure_spine(Spine(tuple(vertebrae), labels, [v.label for v in vertebrae], ()))


def rows_of(labels, vertebrae, scores, **more):
    scores = {level: MapEvidence(score) for level, score in scores.items()}
    rows = vertebra_rows("case", measured(labels, vertebrae), scores, THRESHOLDS, **more)
    return {row["level"]: row for row in rows}


def test_vertebrae_are_listed_with_heights_and_grades(spine):
    labels, vertebrae, _ = spine
    scores = {"T12": 0.1, "L1": 0.2, "L2": 0.9, "L3": 0.5}
    rows = rows_of(labels, vertebrae, scores, grades={"L2": 3})
    assert list(rows) == list(LEVELS)
    assert all(tuple(row) == VERTEBRA_COLUMNS for row in rows.values())
    l2 = rows["L2"]
    anterior, posterior = (12 + 12 * share for share in (0.15, 0.85))
    assert l2["height_anterior_mm"] == pytest.approx(anterior, abs=0.7)
    assert l2["anterior_to_posterior"] == pytest.approx(anterior / posterior, abs=0.03)
    assert l2["loss_low"] < l2["loss_anterior"] < l2["loss_high"]
    assert (l2["genant_shape"], l2["compared_with"], l2["genant_published"]) == (
        "wedge",
        "L1 L3",
        3,
    )
    assert l2["genant_low"] <= l2["genant"] <= l2["genant_high"]
    assert [rows[level]["suspected"] for level in LEVELS] == [False, False, True, True]
    assert [rows[level]["genant"] > 0 for level in LEVELS] == [False, False, True, False]
    assert rows["L1"]["genant_published"] is None
    assert all(row["flags"] == "" and row["heights_missing"] is None for row in rows.values())


@pytest.mark.parametrize(
    ("level", "score", "said"),
    [("L2", 0.2, "heights"), ("L2", 0.8, ""), ("T12", 0.8, "map"), ("T12", 0.2, "")],
)
def test_heights_and_map_may_disagree(spine, level, score, said):
    labels, vertebrae, _ = spine
    assert rows_of(labels, vertebrae, {level: score})[level]["disagreement"] == said


def test_the_verdict_joins_map_and_heights(spine):
    labels, vertebrae, _ = spine
    rows = rows_of(labels, vertebrae, {"L2": 0.5, "T12": 0.2})
    worst = rows["L2"]
    evidence = height_losses(measured(labels, vertebrae).bodies)["L2"].evidence
    assert evidence == pytest.approx(1 / 0.05 * worst["loss_anterior"], rel=0.1)  # the spread
    assert worst["probability"] == pytest.approx(expit(-2 + 0.5 * min(evidence, 8)))
    assert (worst["verdict"], worst["why"]) == ("fracture likely", "map and heights")
    assert (rows["T12"]["verdict"], rows["T12"]["why"]) == ("no sign", "")
    alone = rows["L3"]  # no map of it
    assert alone["probability"] is not None
    assert alone["verdict"] == "no sign"


def test_a_map_counts_against_the_other_vertebrae_of_the_ct(spine):
    labels, vertebrae, _ = spine
    found, scores = measured(labels, vertebrae), {"T12": 0.2, "L1": 0.3, "L2": 0.5}
    of_map = {level: MapEvidence(score) for level, score in scores.items()}
    by = replace(THRESHOLDS, verdict=replace(RULE, usual=-1.0))
    rows = {row["level"]: row for row in vertebra_rows("case", found, of_map, by)}
    background = (2 * np.quantile([logit(0.2), logit(0.3)], 0.25) - 1) / 3
    heights = 0.5 * min(height_losses(found.bodies)["L2"].evidence, 8)
    assert rows["L2"]["probability"] == pytest.approx(expit(-2 - background + heights))


def test_without_a_rule_nothing_is_said(spine):
    labels, vertebrae, _ = spine
    spine = measured(labels, vertebrae)
    thresholds = replace(THRESHOLDS, verdict=None)
    rows = vertebra_rows("case", spine, {"L2": MapEvidence(0.9)}, thresholds)
    assert {(row["verdict"], row["probability"], row["why"]) for row in rows} == {(None,) * 3}


def test_levels_without_a_score_are_not_judged(spine):
    labels, vertebrae, _ = spine
    row = rows_of(labels, vertebrae, {"L2": 0.9})["T12"]
    assert (row["score"], row["suspected"], row["disagreement"]) == (None, None, None)


def test_boxes_have_no_heights(spine):
    _, vertebrae, _ = spine
    for row in rows_of(None, vertebrae, dict.fromkeys(LEVELS, 0.9)).values():
        assert row["heights_missing"] == NO_LABEL_MAP
        assert (row["verdict"], row["why"]) == ("fracture likely", "map")
        assert row["probability"] == pytest.approx(0.9)
        filled = {name for name, value in row.items() if value is not None}
        judged = {"verdict", "probability", "why"}
        assert filled - judged == {
            *("case_id", "level", "score", "suspected", "flags", "heights_missing")
        }


def test_flags_tell_what_is_odd(spine):
    labels, vertebrae, _ = spine
    array = labels.array.copy()
    array[0, 0, 0] = 28  # T13 of VerSe
    cut = [replace(v, flags=("cut",)) if v.level == "L3" else v for v in vertebrae]
    rows = rows_of(Volume(array, labels.geometry), cut, {})
    want = {"T12": "transitional", "L1": "transitional", "L2": "", "L3": "cut"}
    assert {level: row["flags"] for level, row in rows.items()} == want
    assert rows["L3"]["heights_missing"]


# Place in mm (up, front, right) from the centre of L1, whose body is 24 x 30 x 40 mm.
PLACES = {
    "upper endplate, anterior, central": (9, 10, 0),
    "lower endplate, posterior, right": (-9, -9, 12),
    "middle, middle, left": (0, 0, -12),
    "None, arch, left": (4, -DEPTH / 2 - 8, -12),
}


def with_lesions(labels, centre):
    """Sheets of 3 x 5 x 5 voxels of 1 mm, one at each place, and their probabilities."""
    components = np.zeros(labels.shape, np.int32)
    probability = np.zeros(labels.shape, np.float32)
    for number, place in enumerate(PLACES.values(), 1):
        low = np.rint(np.add(centre, place)).astype(int) - (1, 2, 2)
        box = tuple(slice(a, a + n) for a, n in zip(low, (3, 5, 5)))
        components[box] = number
        probability[box] = 0.5 + 0.1 * number
        probability[box][0] = 0.5  # one plane of three
    return components, probability


def detections(probability, components):
    return Detections(whole(components.shape), probability, components > 0, components)


def test_lesions_are_placed_in_their_vertebra(spine):
    labels, vertebrae, centres = spine
    components, probability = with_lesions(labels, centres[1])
    found = detections(probability, components)._replace(uncertainty=1 - probability)
    rows = lesion_rows("case", found, measured(labels, vertebrae), labels.geometry)
    assert [row["lesion"] for row in rows] == [4, 3, 2, 1]  # the most probable first
    for row in rows:
        number = row["lesion"]
        assert tuple(row) == LESION_COLUMNS
        assert row["level"] == "L1"
        assert f"{row['height']}, {row['depth']}, {row['side']}" == list(PLACES)[number - 1]
        assert row["volume_ml"] == pytest.approx(75 / 1000)
        mean = (2 * (0.5 + 0.1 * number) + 0.5) / 3
        assert row["max_probability"] == pytest.approx(0.5 + 0.1 * number)
        assert row["mean_probability"] == pytest.approx(mean)
        assert row["uncertainty"] == pytest.approx(1 - mean)
        middle = np.argwhere(components == number).mean(axis=0)
        world = labels.affine @ [*middle, 1]
        np.testing.assert_allclose([row[f"{axis}_mm"] for axis in "xyz"], world[:3], atol=1e-9)


def test_a_box_of_the_map_gives_the_same_rows(spine):
    labels, vertebrae, centres = spine
    components, probability = with_lesions(labels, centres[1])
    all_of_it, spine = detections(probability, components), measured(labels, vertebrae)
    rows = lesion_rows("case", all_of_it, spine, labels.geometry)
    box = box_between(np.argwhere(components).min(axis=0) - 1, labels.shape)
    part = Detections(box, *(array[box] for array in all_of_it[1:4]))
    assert lesion_rows("case", part, spine, labels.geometry) == rows
    assert {row["uncertainty"] for row in rows} == {None}


def test_lesions_outside_every_vertebra_have_no_level(spine):
    labels, vertebrae, _ = spine
    components = np.zeros(labels.shape, np.int32)
    components[2:4, 2:4, 2:4] = 2  # id 1 is absent
    found = detections(np.full(labels.shape, 0.7), components)
    (row,) = lesion_rows("case", found, measured(labels, vertebrae), labels.geometry)
    assert (row["lesion"], row["level"], row["height"], row["depth"]) == (2, None, None, None)


def test_boxes_that_overlap_leave_the_nearest_centre_to_decide(spine):
    labels, vertebrae, centres = spine
    everywhere = [replace(v, start=(0, 0, 0), stop=labels.shape, centre=c) for v, c in
                  zip(vertebrae, centres)]  # fmt: skip
    found = detections(*with_lesions(labels, centres[3])[::-1])
    rows = lesion_rows("case", found, measured(None, everywhere), labels.geometry)
    assert {(row["level"], row["height"], row["depth"]) for row in rows} == {("L3", None, None)}


def test_what_is_nearer_to_the_sacrum_is_not_the_last_vertebras():
    labels = np.zeros((42, 20, 20), np.uint8)
    labels[:20], labels[22:] = 26, VERSE["L5"]  # two voxels of 1 mm between them
    volume = Volume(labels, geometry_from((20, 20, 42), np.eye(4)))
    box, centre = ((22, 0, 0), (42, 20, 20)), np.array([31.5, 9.5, 9.5])
    vertebrae = (Vertebra("L5", VERSE["L5"], *box, centre, 8000, 8.0),)
    components = np.zeros(labels.shape, np.int32)
    components[20, 4, 4], components[21, 4, 8] = 1, 2  # 1 mm and 2 mm away, 2 mm and 1 mm
    found = detections(np.full(labels.shape, 0.7), components)
    spine = measure_spine(Spine(vertebrae, volume, (26, VERSE["L5"]), ()))
    rows = lesion_rows("case", found, spine, volume.geometry)
    assert {row["lesion"]: row["level"] for row in rows} == {1: None, 2: "L5"}
