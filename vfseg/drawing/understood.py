"""A picture of where the vertebrae of a CT are: the middle of the spine from the side and front."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.drawing.figures import (
    BACKGROUND,
    FAINT,
    LEVEL,
    TEXT,
    orientation_letters,
    outline,
    scale_bar,
    show_ct,
    write_line,
    write_name,
    write_png,
)
from vfseg.drawing.hanging import HANGINGS, Hanging, oriented_mm, oriented_slice, picture_extent

_HEIGHT, _WIDEST, _DPI = 7.0, 7.0, 110  # inches
_COLOURS = (LEVEL, "#c58af9")  # of neighbours


def draw_understood(title: str, ct: Volume, spine: Spine, path: Path) -> None:
    """Draws the sagittal and the coronal slice through the middle of the spine.

    Both show every vertebra: its name at the middle of its body, its box where that is all that is
    known, and the outline of its mask where the slice meets it.

    Args:
        title: of the picture, one line.
        ct: int16 HU.
        spine: of the CT, with at least one vertebra.
        path: of the PNG file.

    Raises:
        UserError: it cannot be written.
    """
    hangings = [h for h in HANGINGS if h.name in ("sagittal", "coronal")]
    extents = [picture_extent(h, ct.shape, ct.voxel_spacing) for h in hangings]
    widths = [min(_HEIGHT * e.width / e.height, _WIDEST) for e in extents]
    top, bottom, gap = 0.4, 0.3, 0.08
    width, height = sum(widths) + gap * (len(widths) + 1), _HEIGHT + top + bottom
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    left, cuts = gap, []
    for hanging, wide in zip(hangings, widths):
        place = left / width, bottom / height, wide / width, _HEIGHT / height
        panel = figure.add_axes(place, facecolor="black")
        panel.set_axis_off()
        cuts.append(f"{hanging.name} slice {_draw(panel, ct, spine, hanging)}")
        left += wide + gap
    write_line(figure, (0.012, 1 - 0.2 / height), title, 12, TEXT)
    known = "masks" if spine.labels is not None else "boxes"
    words = f"{', '.join(cuts)} (canonical, from 0); names at the middle of the bodies, {known}"
    write_line(figure, (0.012, 0.14 / height), words, 8, FAINT)
    write_png(figure, path)


def middle_index(spine: Spine, hanging: Hanging, shape: tuple[int, int, int]) -> int:
    """The slice that most bodies lie in or near: the median of their middles."""
    middle = float(np.median([vertebra.centre[hanging.axis] for vertebra in spine.vertebrae]))
    return int(np.clip(round(middle), 0, shape[hanging.axis] - 1))


def _draw(panel: Axes, ct: Volume, spine: Spine, hanging: Hanging) -> int:
    """Draws a slice; returns its index."""
    index = middle_index(spine, hanging, ct.shape)
    extent = picture_extent(hanging, ct.shape, ct.voxel_spacing)
    show_ct(panel, oriented_slice(ct.array, hanging, index), extent)
    labels = None if spine.labels is None else oriented_slice(spine.labels.array, hanging, index)
    for number, vertebra in enumerate(spine.vertebrae):
        colour = _COLOURS[number % len(_COLOURS)]
        if labels is not None:
            outline(panel, labels == vertebra.label, extent, colour)
        else:
            # The box covers its voxels to their edges.
            first, last = ([at - 0.5 for at in end] for end in (vertebra.start, vertebra.stop))
            x0, y0 = oriented_mm(last, hanging, ct.shape, ct.voxel_spacing)
            x1, y1 = oriented_mm(first, hanging, ct.shape, ct.voxel_spacing)
            panel.add_patch(
                Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.1)
            )
        middle = oriented_mm(vertebra.centre.tolist(), hanging, ct.shape, ct.voxel_spacing)
        write_name(panel, middle, vertebra.level, colour, 9)
    orientation_letters(panel, hanging)
    scale_bar(panel, extent)
    return index
