from tests.report.summary import SUMMARY, measure
from vfseg.evaluation.measures import MEASURES
from vfseg.evaluation.phrases import LANGUAGES
from vfseg.report.meanings import name_of
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


def test_from_a_single_case_there_is_no_figure_and_their_number_is_said():
    """Six fractured cases and one without: its specificity would be 0 or 1."""
    case = {
        **{"roc_auc": measure(1.0), "sensitivity": measure(0.75, 0.5, 1.0)},
        **{"specificity": measure(1.0), "fractured": 6, "healthy": 1},
    }
    levels = {level.key: level.rows for level in levels_of(SUMMARY | {"case": case})}
    both = "6 fractured cases, 1 case without a fracture"
    assert levels["case"] == (
        MeasureRow("ROC-AUC", "–", "none (a single one)", "8", both),
        MeasureRow("Sensitivity", "0.750", "0.500\xa0–\xa01.000", "8", "of 6 fractured cases"),
        MeasureRow("Specificity", "–", "none (a single one)", "8", "of 1 case without a fracture"),
    )


def test_an_interval_without_width_is_none():
    """Every resample of patients who are all alike is the same: that is not certainty."""
    alike = measure(1.0, 1.0, 1.0)
    case = {"sensitivity": alike, "fractured": 7, "healthy": 4}
    groups = {"T12": {"specificity": alike}}
    levels = {level.key: level.rows for level in levels_of({"case": case})}
    assert levels["case"] == (
        MeasureRow(
            "Sensitivity", "1.000", "none (patients all alike)", "8", "of 7 fractured cases"
        ),
    )
    (english,), (japanese,) = (groups_of({"by_level": groups}, of) for of in LANGUAGES)
    assert english.rows == (("T12", ("1.000 (of 8 patients)",)),)
    assert "1.000\xa0–" not in str(japanese.rows)


def test_figures_say_over_how_many_they_are():
    summary = {
        "voxel": {"hd95_mm": measure(3.25), "cases_with_hd95": 5},
        "lesion": {"sensitivity": measure(0.5), "sensitivity_at_1_fp": measure(0.4), "lesions": 12},
        "verdict": {
            **{"roc_auc": measure(0.9), "roc_auc_heights": measure(0.8)},
            **{"sensitivity_review": measure(0.7), "fractured": 9, "healthy": 30},
        },
    }
    rows = {
        (level.key, row.name): (row.value, row.beside)
        for level in levels_of(summary)
        for row in level.rows
    }
    assert rows["voxel", "HD95, mm"] == ("3.250", "mean of 5 cases with both truth and prediction")
    assert rows["lesion", "Sensitivity"] == ("0.500", "of 12 lesions")
    assert rows["lesion", "Sensitivity at 1 false positive per case"] == ("0.400", "of 12 lesions")
    both = "9 fractured vertebrae, 30 vertebrae without a fracture"
    assert rows["verdict", "ROC-AUC"] == ("0.900", both)
    assert rows["verdict", "ROC-AUC, heights alone"] == ("0.800", "")
    reviewed = rows["verdict", "Sensitivity, review or likely"]
    assert reviewed == ("0.700", "of 9 fractured vertebrae")


def test_no_two_measures_of_a_level_are_called_the_same():
    for level in {each.level for each in MEASURES}:
        keys = [each.name for each in MEASURES if each.level == level]
        for language in LANGUAGES:
            assert len({name_of(key, language) for key in keys}) == len(keys)
        names = [name_of(key) for key in keys]
        assert not [name for name in names if name.lower().startswith(("the same", "ditto"))]


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
        "L1": {"lesions": 2, "specificity": measure(1.0, n=1)},
    }
    (by_level,) = groups_of({"by_level": groups, "by_grade": {}})
    assert by_level.title == "By level"
    assert by_level.header == ("", "Lesions", "Sensitivity, lesions", "Specificity, vertebrae")
    assert by_level.rows == (
        ("T12", ("3", "0.500 (0.250\xa0–\xa00.750)", "")),
        ("a<b>", ("1", "", "–")),
        ("L1", ("2", "", "1.000 (of 1 patient)")),
    )
    assert groups_of(SUMMARY) == ()
