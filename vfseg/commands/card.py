"""The card of a model to pass on: what it reaches on CTs that it never saw, and its limits."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vfseg import RESEARCH_USE
from vfseg.config.config import Config
from vfseg.evaluation.out_of_fold import Evaluated
from vfseg.evaluation.summary import measured, states_of
from vfseg.evaluation.verdict import LIKELY, REVIEW, SENSITIVITY, SPECIFICITY
from vfseg.inference.thresholds import Thresholds

# Figures of the summary that the card shows: words, level, names.
_SHOWN = (
    ("voxel Dice", "voxel", ("dice",)),
    ("voxel PR-AUC", "voxel", ("pr_auc",)),
    ("lesion average precision", "lesion", ("average_precision",)),
    ("vertebra ROC-AUC: verdict", "verdict", ("roc_auc",)),
    ("map alone", "vertebra", ("roc_auc",)),
    ("heights alone", "verdict", ("roc_auc_heights",)),
    ("likely: sensitivity, specificity", "verdict", ("sensitivity", "specificity")),
    (
        "review or likely: sensitivity, specificity",
        "verdict",
        ("sensitivity_review", "specificity_review"),
    ),
)

Figures = Mapping[str, Mapping[str, Any]]


class HealthyCT(NamedTuple):
    """What a model says of a CT in which no fracture is known.

    Attributes:
        case_id: of the CT.
        vertebrae: rows of `vertebrae.csv`, see `list_findings`.
        lesions: how many are listed.
    """

    case_id: str
    vertebrae: Sequence[Mapping[str, Any]]
    lesions: int


class LeftOut(NamedTuple):
    """How a model does that never saw a patient.

    Attributes:
        patient: who was left out.
        evaluated: on virtual fractures in its CTs.
        healthy: its CTs as they are.
    """

    patient: str
    evaluated: Evaluated
    healthy: Sequence[HealthyCT]


def card_text(
    left_out: Sequence[LeftOut],
    thresholds: Thresholds,
    config: Config,
    about: str,
    *,
    step: int,
) -> str:
    """The model card, Markdown.

    Args:
        left_out: each patient, judged by a model that never saw it.
        thresholds: of the model that is passed on.
        config: of the run.
        about: on the data: where they come from, under which licence.
        step: of the checkpoint.
    """
    sources = ["virtual fractures in the bone of real CTs"]
    sources += ["phantoms"] if config.add_phantoms else []
    sources += ["CTs painted from label maps"] if config.painted.label_maps else []
    trained = f"all {len(left_out)} patients" + (
        "" if config.add_phantoms else " but the last, which chose the checkpoint"
    )
    lines = [
        "# Model card",
        f"**{RESEARCH_USE}** Trained on **synthetic fractures** only: on "
        f"{', on '.join(sources)}. It has never seen a real fracture.",
        f"Step {step}; windows of {config.windows.length} {', '.join(config.windows.planes)} "
        f"slices {config.windows.stride_mm} mm apart, voxels of {config.prepare.voxel_spacing} mm. "
        f"Threshold of the map {thresholds.fused:.3f}; {_points(thresholds)}.",
        f"This model was trained on the CTs of {trained}. The figures are of others, trained in "
        "the same way, each without one patient, on whom it is judged, with the thresholds that "
        "follow from what the others say of whom they never saw. The thresholds and the verdict of "
        "this model come from all of them in the same way.",
        "## Virtual fractures in CTs of patients who were left out: synthetic truth",
        _head("left out", "virtual cases", "vertebrae", *(words for words, *_ in _SHOWN)),
    ]
    lines += [_row(part.patient, [part]) for part in left_out]
    lines += [
        _row("**all**", left_out),
        f"Voxel prevalence {_prevalence(left_out):.4f}. Intervals need at least 5 patients; the "
        f"spread over these {len(left_out)} is what there is.",
        "## CTs in which no fracture is known, as they are: every alarm is a false one",
        _head(
            *("CT", "vertebrae", LIKELY, REVIEW, "highest probability"),
            *("map, mL", "most in a vertebra, mL", "lesions listed"),
        ),
    ]
    healthy = [ct for part in left_out for ct in part.healthy]
    lines += [_healthy_row(ct) for ct in healthy]
    lines.append("Probability of a fracture, as the verdict has it:")
    lines += [
        f"- {ct.case_id}: "
        + ", ".join(f"{row['level']} {_shown(row['probability'])}" for row in ct.vertebrae)
        for ct in healthy
    ]
    return spaced([*lines, about.strip()])


def pooled(left_out: Sequence[LeftOut], seed: int = 0) -> Figures:
    """Figures over all cases, each judged by the model that predicted it; see `measured`."""
    scores = [score for part in left_out for score in part.evaluated.scores]
    thresholds = [part.evaluated.thresholds for part in left_out for _ in part.evaluated.scores]
    return measured(states_of(scores, thresholds), seed=seed)


def _points(thresholds: Thresholds) -> str:
    rule = thresholds.verdict
    if rule is None:
        return f"a vertebra is suspected from a score of {thresholds.vertebra:.3f} on"
    return (
        f"a vertebra is to be looked at from a probability of {rule.review:.3f} on, and a fracture "
        f"is likely from {rule.likely:.3f} on (sensitivity {SENSITIVITY:g} and specificity "
        f"{SPECIFICITY:g} where they were chosen)"
    )


def _head(*names: str) -> str:
    return f"| {' | '.join(names)} |\n|{' --- |' * len(names)}"


def _row(name: str, parts: Sequence[LeftOut]) -> str:
    figures = pooled(parts)
    scores = [score for part in parts for score in part.evaluated.scores]
    units = [vertebra for score in scores for vertebra in score.vertebrae]
    fractured = sum(unit.fractured for unit in units)
    cells = [name, str(len(scores)), f"{len(units)}, {fractured} of them fractured"]
    for _, level, names in _SHOWN:
        values = (figures[level][name]["value"] for name in names)
        cells.append(", ".join(map(_shown, values)))
    return f"| {' | '.join(cells)} |"


def _prevalence(parts: Sequence[LeftOut]) -> float:
    counts = sum(score.voxels.counts.sum(axis=1) for p in parts for score in p.evaluated.scores)
    return float(counts[1] / counts.sum())


def _healthy_row(ct: HealthyCT) -> str:
    answers = [row["verdict"] for row in ct.vertebrae]
    probabilities = [p for row in ct.vertebrae if (p := row["probability"]) is not None]
    volumes = [row["map_ml"] for row in ct.vertebrae]
    cells = (
        *(ct.case_id, str(len(answers)), str(answers.count(LIKELY)), str(answers.count(REVIEW))),
        _shown(max(probabilities, default=None)),
        *(f"{sum(volumes):.3f}", f"{max(volumes, default=0.0):.3f}", str(ct.lesions)),
    )
    return f"| {' | '.join(cells)} |"


def spaced(lines: Sequence[str]) -> str:
    """Blank lines around headings and paragraphs, none within tables and lists."""
    text = ""
    for line in lines:
        tight = line.startswith(("|", "- ")) and text.rstrip("\n").split("\n")[-1][:1] == line[:1]
        text = text.rstrip("\n") + ("\n" if tight else "\n\n") + line
    return text.strip() + "\n"


def _shown(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
