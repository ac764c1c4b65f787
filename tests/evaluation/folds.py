"""Cases of a few patients, and models of folds that answer with one number each."""

from tests.evaluation.test_evaluate import SETTINGS, Oracle, write_case
from vfseg.crops.prepare import prepare_cases
from vfseg.inference.views import Views

ANSWERS = (0.5, 0.625, 0.75)
"""Of the model of each fold, where there is a fracture."""


class OneView(Oracle):
    views = Views(("sagittal",))


def prepared_cohort(folder, names):
    """Cases, records and store; a case named "d" has no fracture."""
    cases = [write_case(folder, name, name != "d") for name in names]
    records, left_out = prepare_cases(cases, SETTINGS, folder / "store")
    assert not left_out
    return cases, records, folder / "store"
