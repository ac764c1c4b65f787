"""What pictures of a CT have in common: window, colours, outlines, letters, files."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from vfseg.drawing.planes import Plane
from vfseg.files import atomic_file

BONE_WINDOW = (-400.0, 1200.0)  # HU: level 400, width 1600
BACKGROUND, TEXT, FAINT = "#0b0d10", "#e8eaed", "#9aa0a6"
LEVEL = "#8ab4f8"


class Picture(NamedTuple):
    """A picture of the report.

    Attributes:
        path: PNG or SVG file.
        caption: one sentence, plain text.
        tall: not three panels wide: to be shown at its own size.
    """

    path: Path
    caption: str
    tall: bool = False


def outline(panel: Axes, mask: np.ndarray, extent, colour: str) -> None:
    """Outline of a mask along the edges of its pixels, so that a sheet of one voxel stays one."""
    if not mask.any():
        return
    fine = np.kron(np.pad(mask, 1), np.ones((4, 4)))
    rows, columns = mask.shape
    across, down = (extent[1] - extent[0]) / columns, (extent[2] - extent[3]) / rows
    x = extent[0] - across + (np.arange(fine.shape[1]) + 0.5) * across / 4
    y = extent[3] - down + (np.arange(fine.shape[0]) + 0.5) * down / 4
    panel.contour(x, y, fine, levels=[0.5], colors=[colour], linewidths=1.1)
    panel.set_xlim(extent[0], extent[1])
    panel.set_ylim(extent[2], extent[3])


def orientation_letters(panel: Axes, plane: Plane) -> None:
    """Anatomical letters at the four sides."""
    places = [(0.5, 0.975, "center", "top"), (0.5, 0.025, "center", "bottom")]
    places += [(0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center")]
    for letter, (x, y, horizontal, vertical) in zip(plane.letters, places, strict=True):
        panel.text(
            *(x, y, letter),
            transform=panel.transAxes,
            color=TEXT,
            fontsize=11,
            fontweight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="black")],
            ha=horizontal,
            va=vertical,
        )


def scale_bar(panel: Axes, extent) -> None:
    """A line of 20 mm at the lower right."""
    right, bottom = extent[1] - 5, extent[2] - 5
    if right - 20 < extent[0]:
        return
    panel.plot([right - 20, right], [bottom, bottom], color=TEXT, linewidth=2)
    panel.text(
        *(right - 10, bottom - 2, "20 mm"),
        color=TEXT,
        fontsize=8,
        ha="center",
        va="bottom",
        path_effects=[withStroke(linewidth=2.5, foreground="black")],
    )
    panel.set_xlim(extent[0], extent[1])
    panel.set_ylim(extent[2], extent[3])


def write_png(figure: Figure, path: Path) -> None:
    """Writes a figure on its own background; the file appears complete or not at all."""
    with atomic_file(path) as file:
        figure.savefig(
            file,
            format="png",
            facecolor=figure.get_facecolor(),
            pil_kwargs={"compress_level": 3},
        )
