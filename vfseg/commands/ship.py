"""Mode `ship`: from a run on phantoms and on virtual fractures in real bone to a model to pass on.

Beside the model stands its card: what it reaches on the test cases, and how it answers on the
original CTs of the manifest, in which no fracture is known: there every alarm is a false one.
"""

import shutil
from pathlib import Path
from typing import Any

from vfseg import RESEARCH_USE, processes
from vfseg.commands.memory import read_summary
from vfseg.commands.run import run_all
from vfseg.commands.workdir import Run
from vfseg.config.config import Config
from vfseg.config.model import load_trained, open_model
from vfseg.config.shipped import export_model
from vfseg.data.cases import Case
from vfseg.data.discovery import find_cases
from vfseg.errors import UserError
from vfseg.evaluation.findings import list_findings
from vfseg.evaluation.summary_shape import EVALUATED, FIGURE
from vfseg.files import atomic_file
from vfseg.inference.case import predict_case
from vfseg.inference.model import Model
from vfseg.inference.thresholds import load_thresholds
from vfseg.schemas import NUMBER, Maybe
from vfseg.settings import whole

MODEL, CARD, ABOUT = "model", "MODEL_CARD.md", "ABOUT.md"

# Figures of the summary that the card shows: level, name, words.
_SHOWN = (
    ("voxel", "dice", "voxel Dice"),
    ("voxel", "pr_auc", "voxel PR-AUC"),
    ("lesion", "average_precision", "lesion average precision"),
    ("lesion", "sensitivity_at_1_fp", "lesion sensitivity at 1 false positive a case"),
    ("vertebra", "roc_auc", "vertebra ROC-AUC"),
    ("vertebra", "sensitivity", "vertebra sensitivity"),
    ("vertebra", "specificity", "vertebra specificity"),
)
_MEASURED = EVALUATED | {
    **{"cases": whole(0), "vertebra_threshold": EVALUATED["threshold"]},
    **{
        level: {name: FIGURE for of, name, _ in _SHOWN if of == level}
        for level in ("lesion", "vertebra")
    },
    "voxel": {
        **{"dice": FIGURE, "pr_auc": FIGURE, "prevalence": NUMBER},
        **{"lift": Maybe(NUMBER), "pr_auc_hu_threshold": Maybe(NUMBER)},
    },
}
LARGEST_MB = 20


def ship(run: Run, folder: Path | None = None) -> None:
    """Does what is left of the run, then writes the model and its card.

    With several processes, as `run_all`; the first one writes.

    Args:
        run: of a config on virtual fractures.
        folder: of the model; `WORKDIR/model` by default.

    Raises:
        UserError: the config names no manifest, or makes no virtual fractures of its CTs; nothing
            says where they come from; the model is larger than `LARGEST_MB`.
    """
    manifest = Path(run.config.manifest)
    if not run.config.manifest or not run.config.virtual_fractures.variants:
        raise UserError(
            "--mode ship needs healthy CTs: a config with a manifest and virtual fractures, such "
            "as configs/real_bone.py."
        )
    about = manifest.with_name(ABOUT)
    if not about.is_file():
        raise UserError(
            f"{about}: no such file. Say in it, in Markdown, where the CTs come from, under which "
            "licences, and what limits the model: it becomes the end of the model card."
        )
    run_all(run)
    if not processes.is_first():
        return
    folder = run.workdir / MODEL if folder is None else folder
    config, step, g_params = load_trained(run.checkpoints)
    export_model(folder, config, step, g_params, load_thresholds(run.checkpoints, step))
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    if size > LARGEST_MB:
        raise UserError(f"{folder}: {size:.0f} MB, more than {LARGEST_MB}. Train a smaller model.")
    model = open_model(folder)
    cases, _ = find_cases(manifest)
    healthy = [_healthy_row(case, model, run.workdir) for case in cases]
    summary = read_summary(run.workdir, _MEASURED)
    text = card_text(summary, healthy, config, about.read_text(), step=step)
    with atomic_file(folder / CARD) as file:
        file.write(text.encode())
    print(f"model: {folder}")


def _healthy_row(case: Case, model: Model, workdir: Path) -> dict[str, Any]:
    """What the model says of a CT in which no fracture is known."""
    output = workdir / "healthy" / case.case_id
    found = predict_case(case, model, model.prepare, output)
    listed = list_findings(case.case_id, found, model.thresholds)
    shutil.rmtree(output)
    return {
        "case": case.case_id,
        "split": case.split,
        "scores": {row["level"]: row["score"] for row in listed.vertebrae},
        "alarms": sum(bool(row["suspected"]) for row in listed.vertebrae),
        "false_positive_ml": found.predicted_ml,
        "lesions": len(listed.lesions),
    }


def card_text(
    summary: dict[str, Any],
    healthy: list[dict[str, Any]],
    config: Config,
    about: str,
    *,
    step: int,
) -> str:
    """The model card, Markdown.

    Args:
        summary: of the run.
        healthy: one entry a CT in which no fracture is known.
        config: of the run.
        about: on the data: where they come from, under which licence.
        step: of the checkpoint.
    """
    test = f"{summary['cases']} virtual cases of {summary['voxel']['dice']['n']} unseen CT(s)"
    painted = ", on CTs painted from label maps" if config.painted.label_maps else ""
    lines = [
        "# Model card",
        f"**{RESEARCH_USE}** Trained on **synthetic fractures** only: on phantoms{painted}, and on "
        "virtual fractures in the bone of real CTs. It has never seen a real fracture.",
        f"Step {step}; windows of {config.windows.length} {', '.join(config.windows.planes)} "
        f"slices {config.windows.stride_mm} mm apart, voxels of {config.prepare.voxel_spacing} mm; "
        f"threshold of the map {summary['threshold']['value']:.3f}, of a vertebra's score "
        f"{summary['vertebra_threshold']['value']:.3f}, both chosen on validation cases.",
        f"## Test: {test}, synthetic truth",
        "| figure | value | 95 % interval over patients |\n| --- | --- | --- |",
    ]
    for level, name, words in _SHOWN:
        measured = summary[level][name]
        lines.append(
            f"| {words} | {_shown(measured['value'])} | {_interval(measured.get('ci95'))} |"
        )
    voxel = summary["voxel"]
    lines += [
        f"Voxel prevalence {voxel['prevalence']:.4f}; "
        f"lift of the PR-AUC {_shown(voxel.get('lift'))};"
        f" best HU threshold's PR-AUC {_shown(voxel.get('pr_auc_hu_threshold'))}.",
        "## CTs in which no fracture is known: every alarm is a false one",
        "| CT | its part in the run | vertebrae | alarms | highest score | false-positive mL "
        "| lesions listed |\n| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['case']} | {row['split']} | {len(row['scores'])} | {row['alarms']} "
        f"| {max(row['scores'].values()):.3f} | {row['false_positive_ml']:.3f} | {row['lesions']} |"
        for row in healthy
    ]
    lines.append("Scores (95th percentile of the map in a vertebra):")
    lines += [
        f"- {row['case']}: " + ", ".join(f"{k} {v:.3f}" for k, v in row["scores"].items())
        for row in healthy
    ]
    return _spaced([*lines, about.strip()])


def _spaced(lines: list[str]) -> str:
    """Blank lines around headings and paragraphs, none within tables and lists."""
    text = ""
    for line in lines:
        tight = line.startswith(("|", "- ")) and text.rstrip("\n").split("\n")[-1][:1] == line[:1]
        text = text.rstrip("\n") + ("\n" if tight else "\n\n") + line
    return text.strip() + "\n"


def _shown(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _interval(bounds: list[float] | None) -> str:
    return (
        "none (fewer than 5 patients)" if bounds is None else f"{bounds[0]:.3f} - {bounds[1]:.3f}"
    )
