import pytest

from tests.evaluation.scene import THRESHOLDS, cohort
from vfseg.evaluation.measures import MEASURES
from vfseg.evaluation.phrases import LANGUAGES
from vfseg.evaluation.summary import judged, summarise, write_evaluation
from vfseg.files import read_table
from vfseg.report.meanings import meanings_of, name_of
from vfseg.training.settings import SUPERVISED


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_measure_is_explained_once(language):
    keys = [measure.name for measure in MEASURES]
    explained = meanings_of([*keys, "nothing of that name"], language)
    assert len(explained) == len(set(keys))
    names, meanings = zip(*explained)
    assert len(set(names)) == len(names)
    assert all(len(meaning) > 10 for meaning in meanings)


def test_every_column_of_the_cases_and_of_the_groups_is_explained(tmp_path):
    cases = judged(cohort(1, 0.9), THRESHOLDS)
    summary = summarise(cases, split="test", synthetic=True, seed=0)
    write_evaluation(tmp_path, summary, cases)
    columns, _ = read_table(tmp_path / "cases.csv")
    groups = [
        key
        for table in ("by_level", "by_size", "by_grade", "by_pattern")
        for row in summary[table].values()
        for key in row
    ]
    for keys in ([c for c in columns if c != "case_id"], groups):
        assert keys
        assert len(meanings_of(keys)) == len(set(keys))


def test_the_curve_of_every_loss_has_a_name_in_every_language():
    for loss in SUPERVISED:
        assert name_of(f"{loss}_loss", "ja").endswith("損失")
        assert name_of(f"{loss}_loss").endswith("loss")
