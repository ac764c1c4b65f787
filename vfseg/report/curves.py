"""Training curves, one small picture for each quantity."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vfseg.drawing.figures import Picture
from vfseg.evaluation.phrases import listed_words
from vfseg.report.meanings import name_of
from vfseg.report.small_axes import BLUE, ORANGE, above_legend, save_svg, small_axes
from vfseg.report.texts import by_language, text
from vfseg.training.writer import read_metrics

_COLOURS = {"train": BLUE, "validation": ORANGE}
_OTHER_COLOURS = ("#6aa84f", "#b45bb5", "#c0504d")
_MOST_POINTS = 400


def training_curves(metrics: Path, directory: Path) -> list[Picture]:
    """Draws every scalar of a run over the steps.

    Scalars that differ only in what stands before the last "/" share a picture: `train/loss` and
    `validation/loss` are two lines in "loss". A single value is no line, and is left out.

    Args:
        metrics: `metrics.jsonl` of a run; may be missing or end in a broken line.
        directory: where the SVG files go.

    Returns:
        The pictures, those with a validation line first; none where there is nothing to draw.
    """
    quantities: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for line in read_metrics(metrics):
        for name, value in line.items():
            if name == "step" or not np.isfinite(value):
                continue
            group, _, quantity = name.rpartition("/")
            series = quantities.setdefault(quantity, {}).setdefault(group or "run", [])
            series.append((line["step"], value))
    for quantity, groups in quantities.items():
        quantities[quantity] = {name: line for name, line in groups.items() if len(line) > 1}
    quantities = {quantity: groups for quantity, groups in quantities.items() if groups}
    ordered = sorted(quantities, key=lambda q: "validation" not in quantities[q])  # stable
    pictures = []
    for number, quantity in enumerate(ordered):
        path = directory / f"curve-{number:02d}.svg"
        save_svg(_curve(quantity, quantities[quantity]), path)
        pictures.append(Picture(path, _caption(quantity, list(quantities[quantity]))))
    return pictures


def _caption(quantity: str, groups: list[str]) -> dict[str, str]:
    def say(language: str) -> str:
        lines = text(language, "comma").join(listed_words(language, group) for group in groups)
        return text(language, "curve_training", name=name_of(quantity, language), lines=lines)

    return by_language(say)


def _curve(quantity: str, groups: dict[str, list[tuple[float, float]]]) -> Figure:
    figure, axes = small_axes(name_of(quantity), "step")
    spare = iter(_OTHER_COLOURS * len(groups))
    for group, series in groups.items():
        steps, values = np.array(series, float)[:: -(-len(series) // _MOST_POINTS)].T
        colour = _COLOURS.get(group) or next(spare)
        marker = "o" if len(steps) < 30 else ""
        axes.plot(steps, values, color=colour, marker=marker, markersize=3, linewidth=1.3)
        axes.plot([], [], color=colour, label=group)
    above_legend(axes)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure
