"""Small line pictures, legible on a light and on a dark page."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from vfseg.files import atomic_file

GREY, BLUE, ORANGE, GREEN = "#808080", "#3b8ed0", "#e07b39", "#6aa84f"


def small_axes(title: str, x_label: str, y_label: str = "") -> tuple[Figure, Axes]:
    """An empty picture with its title and the names of its axes.

    Args:
        title: of the picture; where it names the quantity, there is no other name of the y axis.
        x_label: name of the x axis.
        y_label: name of the y axis.
    """
    figure = Figure(figsize=(3.6, 2.2))
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0.16, 0.17, 0.81, 0.69))
    axes.set_title(title, color=GREY, fontsize=10, loc="left")
    axes.set_xlabel(x_label, color=GREY, fontsize=8, labelpad=1)
    axes.set_ylabel(y_label, color=GREY, fontsize=8, labelpad=1)
    axes.tick_params(colors=GREY, labelsize=7)
    axes.grid(color=GREY, alpha=0.25, linewidth=0.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GREY)
    return figure, axes


def above_legend(axes: Axes) -> None:
    """Puts the legend into the line of the title."""
    axes.legend(
        frameon=False, labelcolor=GREY, fontsize=7, ncols=3, loc="lower right",
        bbox_to_anchor=(1.02, 0.97), borderpad=0.1,
    )  # fmt: skip


def save_svg(figure: Figure, path: Path) -> None:
    """Writes a picture; equal pictures give equal files."""
    # Names of the picture's parts are drawn by chance otherwise.
    with matplotlib.rc_context({"svg.hashsalt": "vfseg"}), atomic_file(path) as file:
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
