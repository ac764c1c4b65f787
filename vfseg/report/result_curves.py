"""FROC and reliability: the two curves behind the figures of an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from vfseg.drawing.figures import Picture
from vfseg.report.small_axes import BLUE, GREY, ORANGE, above_legend, save_svg, small_axes


def result_curves(summary: Mapping[str, Any], directory: Path) -> list[Picture]:
    """Draws what the summary holds of FROC and reliability.

    Args:
        summary: content of `summary.json`.
        directory: where the SVG files go.

    Returns:
        The pictures; none of a curve that the summary does not hold.
    """
    pictures = []
    points = (summary.get("lesion") or {}).get("froc") or []
    if points:
        pictures.append(_froc(points, directory / "froc.svg"))
    calibration = summary.get("calibration") or {}
    if calibration.get("reliability"):
        pictures.append(_reliability(calibration, directory / "reliability.svg"))
    return pictures


def _froc(points: Sequence[Sequence[float]], path: Path) -> Picture:
    figure, axes = small_axes("FROC", "false positives per case")
    wrong, found = zip(*points)
    axes.plot(wrong, found, color=BLUE, linewidth=1.3, marker="o", markersize=2)
    axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, max(1.25, min(wrong[-1], 8)))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    save_svg(figure, path)
    return Picture(path, "FROC: sensitivity for lesions over false positives per case")


def _reliability(calibration: Mapping[str, Any], path: Path) -> Picture:
    figure, axes = small_axes("Reliability", "mean probability")
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
    return Picture(path, "Reliability: fraction of fractured voxels over the map's probability")
