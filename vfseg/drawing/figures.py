"""What pictures of a CT have in common: window, colours, outlines, letters, files.

Words within a picture are English, on pages in any language: one file serves all readers, also
where it is passed on alone, and needs no font but the usual one. Captions beside it are not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from vfseg.drawing.hanging import Extent, Hanging
from vfseg.drawing.lettering import lettered
from vfseg.files import atomic_file

BONE_WINDOW = (-400.0, 1200.0)  # HU: level 400, width 1600
BACKGROUND, TEXT, FAINT = "#0b0d10", "#e8eaed", "#9aa0a6"
LEVEL = "#8ab4f8"  # names and outlines of vertebrae
REFERENCE = "#35e0d0"  # outlines of the fractures that a data set gives
POINTED_OUT = "#ffb000"  # what the picture is about
RESEARCH_NOTE = "Research use only."


class Picture(NamedTuple):
    """A picture of a page.

    Attributes:
        path: PNG or SVG file.
        caption: one sentence in each language of the page, plain text, English among them.
        tall: shown at its own size, not as wide as the page.
    """

    path: Path
    caption: Mapping[str, str]
    tall: bool = False


def outline(panel: Axes, mask: np.ndarray, extent: Extent, colour: str) -> None:
    """Outline of a mask along the edges of its pixels, so that a sheet of one voxel stays one."""
    if not mask.any():
        return
    fine = np.kron(np.pad(mask, 1), np.ones((4, 4)))
    rows, columns = mask.shape
    across, down = extent.width / columns, extent.height / rows
    x = extent.left - across + (np.arange(fine.shape[1]) + 0.5) * across / 4
    y = extent.top - down + (np.arange(fine.shape[0]) + 0.5) * down / 4
    panel.contour(x, y, fine, levels=[0.5], colors=[colour], linewidths=1.1)
    show_part(panel, extent)


def show_part(panel: Axes, extent: Extent) -> None:
    """Sets the edges of a panel."""
    panel.set_xlim(extent.left, extent.right)
    panel.set_ylim(extent.bottom, extent.top)


def show_ct(panel: Axes, ct_slice: np.ndarray, extent: Extent) -> None:
    """Shows a slice of a CT, HU "rows columns", in the bone window."""
    panel.imshow(
        ct_slice,
        cmap="gray",
        vmin=BONE_WINDOW[0],
        vmax=BONE_WINDOW[1],
        extent=extent,
        interpolation="bilinear",
    )


def orientation_letters(panel: Axes, hanging: Hanging) -> None:
    """Anatomical letters at the four sides."""
    places = [(0.5, 0.975, "center", "top"), (0.5, 0.025, "center", "bottom")]
    places += [(0.02, 0.5, "left", "center"), (0.98, 0.5, "right", "center")]
    for letter, (x, y, horizontal, vertical) in zip(hanging.letters, places, strict=True):
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


def scale_bar(panel: Axes, extent: Extent) -> None:
    """A line of 20 mm at the lower right."""
    right, bottom = extent.right - 5, extent.bottom - 5
    if right - 20 < extent.left:
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
    show_part(panel, extent)


def write_line(
    figure: Figure, place: tuple[float, float], words: str, size: float, colour: str
) -> None:
    """Writes one line of text on a figure, in any script; `$` and `_` are shown as they are.

    A line that would reach beyond the right edge gets smaller letters.

    Args:
        figure: that gets it.
        place: of its left end and middle, as shares of the figure's width and height.
        words: the text.
        size: of the letters, points.
        colour: of the letters.
    """
    shown, families = lettered(words)
    line = figure.text(
        *(*place, shown),
        fontsize=size,
        color=colour,
        va="center",
        parse_math=False,
        fontfamily=families,
    )
    room = (0.995 - place[0]) * figure.bbox.width
    while (width := line.get_window_extent().width) > room and size > 1:
        size *= min(room / width, 0.95)  # small letters are relatively wider
        line.set_fontsize(size)


def write_name(
    panel: Axes, place: tuple[float, float], name: str, colour: str, size: float
) -> None:
    """Writes a name on a picture, its middle at a place in mm; what lies beyond is cut off."""
    panel.text(
        *(*place, name),
        color=colour,
        fontsize=size,
        ha="center",
        va="center",
        clip_on=True,
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )


def write_png(figure: Figure, path: Path) -> None:
    """Writes a figure on its own background; the file appears complete or not at all."""
    with atomic_file(path) as file:
        figure.savefig(
            file,
            format="png",
            facecolor=figure.get_facecolor(),
            pil_kwargs={"compress_level": 3},
        )
