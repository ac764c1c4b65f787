"""The curves behind the figures of an evaluation: precision-recall, ROC, FROC, reliability."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vfseg.drawing.figures import Picture
from vfseg.report.small_axes import BLUE, GREEN, GREY, ORANGE, above_legend, save_svg, small_axes
from vfseg.report.texts import by_language, text

Points = Sequence[Sequence[float]]
_LEVELS = ("voxel", "slice", "vertebra", "verdict", "case")


def result_curves(summary: Mapping[str, Any], directory: Path) -> list[Picture]:
    """Draws what the summary holds of the curves.

    Args:
        summary: content of `summary.json`.
        directory: where the SVG files go.

    Returns:
        The pictures; none of a curve that the summary does not hold.
    """
    pictures = []
    for curve, draw in (("pr_curve", _precision_recall), ("roc_curve", _roc)):
        known = {
            key: level[curve] for key in _LEVELS if (level := summary.get(key) or {}).get(curve)
        }
        if known:
            pictures.append(draw(known, directory))
    points = (summary.get("lesion") or {}).get("froc") or []
    if points:
        pictures.append(_froc(points, directory / "froc.svg"))
    calibration = summary.get("calibration") or {}
    if calibration.get("reliability"):
        pictures.append(_reliability(calibration, directory / "reliability.svg"))
    return pictures


def _precision_recall(curves: Mapping[str, Points], directory: Path) -> Picture:
    figure, axes = small_axes("Precision-recall", "recall", "precision")
    _draw_curves(axes, curves)
    save_svg(figure, directory / "precision-recall.svg")
    return Picture(directory / "precision-recall.svg", _caption("pr", curves))


def _roc(curves: Mapping[str, Points], directory: Path) -> Picture:
    figure, axes = small_axes("ROC", "1 - specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    _draw_curves(axes, curves)
    save_svg(figure, directory / "roc.svg")
    return Picture(directory / "roc.svg", _caption("roc", curves))


def _caption(curve: str, levels: Iterable[str] = ()) -> dict[str, str]:
    """The caption of a curve, which names what it is of."""

    def say(language: str) -> str:
        words = (text(language, f"curve_of_{level}") for level in levels)
        names = text(language, "between").join(words)
        return text(language, f"curve_{curve}", levels=names)

    return by_language(say)


def _draw_curves(axes: Axes, curves: Mapping[str, Points]) -> None:
    for (level, points), colour in zip(curves.items(), (BLUE, ORANGE, GREEN), strict=False):
        name = text("en", f"curve_of_{level}")
        axes.plot(*zip(*points, strict=True), color=colour, label=name, linewidth=1.3)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    above_legend(axes)


def _froc(points: Points, path: Path) -> Picture:
    figure, axes = small_axes("FROC", "false positives per case", "sensitivity")
    wrong, found = zip(*points)
    axes.plot(wrong, found, color=BLUE, linewidth=1.3, marker="o", markersize=2)
    axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, max(1.25, min(wrong[-1], 8)))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    save_svg(figure, path)
    return Picture(path, _caption("froc"))


def _reliability(calibration: Mapping[str, Any], path: Path) -> Picture:
    figure, axes = small_axes("Reliability", "mean probability", "fraction fractured")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    temperature = (calibration.get("temperature") or {}).get("value")
    for key, label, colour in zip(
        ("reliability", "reliability_scaled"),
        ("map", "" if temperature is None else f"scaled, T = {temperature:.2f}"),
        (BLUE, ORANGE),
    ):
        if calibration.get(key):
            score, fractured, _ = zip(*calibration[key])
            axes.plot(
                score, fractured, color=colour, label=label, linewidth=1.3, marker="o", markersize=3
            )
    above_legend(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    save_svg(figure, path)
    return Picture(path, _caption("reliability"))
