from tests.report.summary import SUMMARY, measure
from vfseg.report.results_table import MeasureRow, groups_of, levels_of, results_text


def level(key):
    (found,) = (level for level in levels_of(SUMMARY) if level.key == key)
    return found


def test_every_pr_auc_stands_beside_prevalence_lift_and_floor():
    voxel = level("voxel")
    (pr_auc,) = (row for row in voxel.rows if row.beside)
    assert pr_auc[:4] == ("PR-AUC", "0.460", "0.400\xa0–\xa00.500", "8")
    beside = pr_auc.beside
    assert "200 × prevalence" in beside  # 0.46 / 0.0023
    assert "prevalence 0.0023" in beside
    assert "prevalence in the whole CT 0.0001" in beside
    assert "best of 50 HU thresholds 0.0412" in beside
    assert MeasureRow("Dice", "0.580", "0.520\xa0–\xa00.630", "8") in voxel.rows


def test_what_is_not_known_is_not_invented():
    assert level("slice").rows == (
        MeasureRow("Dice", "0.500", "none (too few patients)", "8"),
        MeasureRow("PR-AUC", "–", "–", "8", beside="prevalence 0"),
    )
    for key in ("lesion", "vertebra", "case"):
        assert level(key).rows == ()


def test_the_terminal_says_the_same():
    lines = results_text(SUMMARY).splitlines()
    assert ["voxel", "Dice", "0.580", "0.520", "–", "0.630", "8"] in [
        line.split() for line in lines
    ]
    at = next(i for i, line in enumerate(lines) if line.startswith("voxel PR-AUC"))
    assert "200 × prevalence; prevalence 0.0023" in lines[at + 1]
    assert "best of 50 HU thresholds 0.0412" in lines[at + 1]
    assert "lesion: not measured" in lines
    assert "synthetic" in lines[-1]
    assert "synthetic" not in results_text({**SUMMARY, "synthetic": False})


def test_tables_by_group_show_every_figure():
    groups = {
        "T12": {"lesions": 3, "lesion_sensitivity": measure(0.5, 0.25, 0.75)},
        "a<b>": {"lesions": 1, "specificity": measure(None)},
    }
    (by_level,) = groups_of({"by_level": groups, "by_grade": {}})
    assert by_level.title == "By level"
    assert by_level.header == ("", "Lesions", "Sensitivity, lesions", "Specificity")
    assert by_level.rows == (
        ("T12", ("3", "0.500 (0.250\xa0–\xa00.750)", "")),
        ("a<b>", ("1", "", "–")),
    )
    assert groups_of(SUMMARY) == ()
