"""Bone and predicted fracture in 3D: one picture from two viewpoints."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vfseg.drawing.figures import (
    BACKGROUND,
    FAINT,
    LEVEL,
    RESEARCH_NOTE,
    TEXT,
    Picture,
    write_line,
    write_png,
)
from vfseg.drawing.hanging import Extent
from vfseg.report.captions import caption_of
from vfseg.report.rendering import PIXEL_MM, VIEWPOINTS, Viewpoint, cast, shade
from vfseg.report.scene import Scene
from vfseg.report.solids import SURFACE, Solids

_MARGIN_MM = 9.0
_INCHES_PER_MM = 1 / 28.0
_DPI = 120


def draw_spine(scene: Scene, solids: Solids, path: Path) -> Picture:
    """Draws the spine from the front and from the left, fractures shining red through the bone.

    Args:
        scene: of the case, for the title.
        solids: of the case, see `build_solids`.
        path: PNG file to write.

    Returns:
        The picture.
    """
    views = [_view(solids, viewpoint) for viewpoint in VIEWPOINTS]
    widths = [extent.width * _INCHES_PER_MM for _, extent in views]
    tall = max(extent.height for _, extent in views) * _INCHES_PER_MM
    size = max(sum(widths), 5.5), tall + 0.9
    figure = Figure(figsize=size, dpi=_DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    left_inches = (size[0] - sum(widths)) / 2
    for viewpoint, (pixels, extent), width in zip(VIEWPOINTS, views, widths, strict=True):
        place = left_inches / size[0], 0.3 / size[1], width / size[0], tall / size[1]
        axes = figure.add_axes(place)
        axes.set_axis_off()
        axes.imshow(pixels, extent=extent, interpolation="lanczos")
        axes.set_title(viewpoint.title, color=FAINT, fontsize=9, pad=2)
        _level_names(axes, extent, solids)
        left_inches += width
    reached = f"probability ≥ {scene.threshold:.2f}"
    found = bool((solids.fracture >= SURFACE).any())
    title = f"{scene.title}   {'predicted fracture,' if found else 'nothing of'} {reached}"
    write_line(figure, (0.012, 1 - 0.2 / size[1]), title, 12, TEXT)
    write_line(figure, (0.012, 0.16 / size[1]), RESEARCH_NOTE, 8, FAINT)
    write_png(figure, path)
    caption = (
        caption_of("solid") if found else caption_of("solid_nothing", threshold=scene.threshold)
    )
    return Picture(path, caption, tall=True)


def _view(solids: Solids, viewpoint: Viewpoint) -> tuple[np.ndarray, Extent]:
    """What is seen, cut to its content, and its extent in mm about the grid's centre, y upwards."""
    spacing = solids.spacing
    tall, deep, wide = (np.array(solids.bone.shape) + 2) * spacing
    shape = int(np.ceil(tall / PIXEL_MM)), int(np.ceil(np.hypot(deep, wide) / PIXEL_MM))
    bone, fracture = (
        cast(field, SURFACE, spacing, viewpoint, shape) for field in (solids.bone, solids.fracture)
    )
    picture = shade(bone, fracture)
    seen = np.isfinite(bone.depth) | np.isfinite(fracture.depth)
    rows, columns = (_content(seen.any(axis=axis)) for axis in (1, 0))
    half_wide, half_tall = shape[1] * PIXEL_MM / 2, shape[0] * PIXEL_MM / 2
    extent = Extent(
        left=columns.start * PIXEL_MM - half_wide,
        right=columns.stop * PIXEL_MM - half_wide,
        bottom=half_tall - rows.stop * PIXEL_MM,
        top=half_tall - rows.start * PIXEL_MM,
    )
    return picture[rows, columns], extent


def _content(seen: np.ndarray) -> slice:
    """The stretch of an axis on which something is seen, with a margin on both sides."""
    inside = np.flatnonzero(seen)
    if not inside.size:
        return slice(0, len(seen))
    margin = round(_MARGIN_MM / PIXEL_MM)
    return slice(max(0, int(inside[0]) - margin), min(len(seen), int(inside[-1]) + 1 + margin))


def _level_names(axes: Axes, extent: Extent, solids: Solids) -> None:
    """Level names along the left side, at the height of the vertebral bodies."""
    middle = (solids.bone.shape[0] - 1) / 2
    for name, centre in solids.levels:
        y = (centre[0] - middle) * solids.spacing
        axes.text(extent.left + 1.5, y, name, color=LEVEL, fontsize=9, va="center")
