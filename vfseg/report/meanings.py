"""How the figures of an evaluation and of a training are called, and what they say."""

from collections.abc import Iterable

from vfseg.evaluation.calibration import RELIABILITY_BINS
from vfseg.evaluation.lesions import HIT_IOU
from vfseg.evaluation.phrases import LANGUAGES
from vfseg.report.texts import measures

_VALUES = {"iou": HIT_IOU[1], "bins": RELIABILITY_BINS}


def name_of(key: str, language: str = "en") -> str:
    """How a measure is called on the page; one that the table lacks, by its key.

    Args:
        key: in the summary, in a list, or of a training curve.
        language: one of `LANGUAGES`.

    >>> name_of("pr_auc"), name_of("recall", "ja"), name_of("new_measure", "ja")
    ('PR-AUC', '再現率', 'New measure')
    """
    known = measures().get(key)
    if known is None:
        return key.replace("_", " ").capitalize()
    return known["name"][LANGUAGES.index(language)].format(**_VALUES)


def meanings_of(keys: Iterable[str], language: str = "en") -> tuple[tuple[str, str], ...]:
    """Name and meaning of each measure or column that has one, each once.

    Args:
        keys: in the summary, or of `cases.csv`.
        language: one of `LANGUAGES`.
    """
    known = {key: measures().get(key, {}).get("meaning") for key in dict.fromkeys(keys)}
    return tuple(
        (name_of(key, language), meaning[LANGUAGES.index(language)])
        for key, meaning in known.items()
        if meaning
    )
