"""Heat maps of fracture probability on the CT, as radiologists hang their pictures."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from vfseg.data.levels import Vertebra
from vfseg.data.probability import reaches
from vfseg.data.volume import Volume
from vfseg.drawing.figures import (
    BACKGROUND,
    BONE_WINDOW,
    FAINT,
    LEVEL,
    TEXT,
    Picture,
    orientation_letters,
    outline,
    scale_bar,
    write_png,
)
from vfseg.drawing.planes import (
    PLANES,
    Plane,
    oriented_mm,
    oriented_slice,
    picture_extent,
    view_box,
)
from vfseg.inference.boxed_map import BoxedMap
from vfseg.report.foci import Focus, find_foci, level_at

_VIEW_MM = 110.0  # three lumbar vertebrae
_PLACES = 2
_DPI = 120
_PANEL_INCHES = 3.1
_TRUTH, _PREDICTION = "#35e0d0", "#ffb000"


def _probability_colours() -> ListedColormap:
    """Inferno without its black end; clear below 0.05, nearly opaque from 0.5 on."""
    steps = np.linspace(0.0, 1.0, 256)
    colours = matplotlib.colormaps["inferno"](0.25 + 0.7 * steps)
    colours[:, 3] = 0.85 * np.clip((steps - 0.05) / 0.45, 0.0, 1.0)
    return ListedColormap(colours, "fracture_probability")


PROBABILITY_COLOURS = _probability_colours()


def overlay_figures(
    ct: Volume,
    probability: np.ndarray | BoxedMap,
    *,
    truth: np.ndarray | None,
    vertebrae: Sequence[Vertebra],
    threshold: float,
    case_id: str,
    synthetic: bool,
    directory: Path,
) -> list[Picture]:
    """Draws CT, CT with heat map, and CT with outlines, side by side, through each place.

    Places are the largest reference lesions and the highest peaks elsewhere, two at most (see
    `find_foci`); each gets an axial, a sagittal and a coronal picture, in millimetres.

    Args:
        ct: int16 HU.
        probability: `d h w` in [0, 1], on the grid of the CT.
        truth: `d h w` instance ids on the grid of the CT; None where there is no reference.
        vertebrae: levels with their boxes and body centres in voxels of the CT; may be empty.
        threshold: probability at which the prediction is outlined.
        case_id: for the titles.
        synthetic: whether the reference is synthetic; said in every picture that shows it.
        directory: where the PNG files go; made if missing.

    Returns:
        The pictures in the order in which they should be shown.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pictures = []
    spacing = ct.voxel_spacing
    foci = find_foci(probability, truth, threshold, spacing, _PLACES)
    for number, focus in enumerate(foci, start=1):
        level = level_at(focus.point, vertebrae, spacing)
        for plane in PLANES:
            figure = _overlay(ct, probability, truth, vertebrae, threshold, focus, plane)
            title = "   ".join(filter(None, (case_id, level, plane.name)))
            _headings(figure, title, threshold, truth is not None, synthetic)
            path = directory / f"place-{number}-{plane.name}.png"
            write_png(figure, path)
            pictures.append(Picture(path, _caption(focus, level, plane, threshold)))
    return pictures


def _overlay(
    ct: Volume,
    probability: np.ndarray | BoxedMap,
    truth: np.ndarray | None,
    vertebrae: Sequence[Vertebra],
    threshold: float,
    focus: Focus,
    plane: Plane,
) -> Figure:
    """The three panels and the colour bar of one plane through one place."""
    spacing = ct.voxel_spacing
    box = view_box(focus.point, ct.shape, spacing, _VIEW_MM)
    origin = np.array([side.start for side in box])
    shape = [side.stop - side.start for side in box]
    index = int(focus.point[plane.axis] - origin[plane.axis])
    extent = picture_extent(plane, shape, spacing)

    def cut(array: np.ndarray | BoxedMap) -> np.ndarray:
        return oriented_slice(array[box], plane, index)

    height = _PANEL_INCHES * (extent[2] - extent[3]) / (extent[1] - extent[0])
    figure, panels, bar = _canvas(min(height, 2 * _PANEL_INCHES), wide=3)
    for panel in panels:
        panel.imshow(
            cut(ct.array),
            cmap="gray",
            vmin=BONE_WINDOW[0],
            vmax=BONE_WINDOW[1],
            extent=extent,
            interpolation="bilinear",
        )
    heat = panels[1].imshow(
        cut(probability).astype(np.float32),
        cmap=PROBABILITY_COLOURS,
        vmin=0.0,
        vmax=1.0,
        extent=extent,
        interpolation="bilinear",
        interpolation_stage="data",
    )
    outline(panels[2], reaches(cut(probability), threshold), extent, _PREDICTION)
    if truth is not None:
        outline(panels[2], cut(truth) > 0, extent, _TRUTH)
    _colour_bar(bar, heat, threshold)
    orientation_letters(panels[0], plane)
    scale_bar(panels[0], extent)
    if plane.rows == 0:
        for vertebra in vertebrae:
            centre = np.asarray(vertebra.centre) - origin
            _, y = oriented_mm(centre, plane, shape, spacing)
            if extent[3] + 4 < y < extent[2] - 4:
                x = extent[0] + 0.1 * (extent[1] - extent[0])
                panels[0].text(x, y, vertebra.level, color=LEVEL, fontsize=10, va="center")
    return figure


def _canvas(panel_height: float, wide: int) -> tuple[Figure, list[Axes], Axes]:
    """Figure with `wide` panels of equal size and a slot for the colour bar, laid out in inches."""
    top, bottom, gap, right = 0.62, 0.34, 0.06, 0.86
    width = wide * (_PANEL_INCHES + gap) + gap + right
    height = top + panel_height + bottom
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    panels = []
    for column in range(wide):
        left = gap + column * (_PANEL_INCHES + gap)
        place = left / width, bottom / height, _PANEL_INCHES / width, panel_height / height
        panel = figure.add_axes(place, facecolor="black")
        panel.set_axis_off()
        panels.append(panel)
    bar_place = (
        (width - right + 0.08) / width,
        (bottom + 0.1 * panel_height) / height,
        0.13 / width,
        0.8 * panel_height / height,
    )
    return figure, panels, figure.add_axes(bar_place, facecolor="black")


def _headings(
    figure: Figure, title: str, threshold: float, reference: bool, synthetic: bool
) -> None:
    """Title, one heading a panel, and the note at the foot."""
    height = figure.get_size_inches()[1]
    figure.text(
        *(0.008, 1 - 0.2 / height, title),
        color=TEXT,
        fontsize=12,
        va="center",
        parse_math=False,  # the title holds a user's case id
    )
    outlines = [(_PREDICTION, f"prediction \N{GREATER-THAN OR EQUAL TO} {threshold:.2f}")]
    if reference:
        outlines.append((_TRUTH, "synthetic truth" if synthetic else "truth"))
    headings = [[(FAINT, "CT")], [(FAINT, "CT + fracture probability")], outlines]
    for panel, parts in zip(figure.axes, headings, strict=False):
        left, right = panel.get_position().x0, panel.get_position().x1
        for number, (colour, words) in enumerate(parts):
            x = left + number * 0.5 * (right - left)
            figure.text(x, 1 - 0.48 / height, words, color=colour, fontsize=9, va="center")
    note = f"Research use only.   Bone window {BONE_WINDOW[0]:.0f} to {BONE_WINDOW[1]:.0f} HU."
    if reference and synthetic:
        note += "   Truth is synthetic."
    figure.text(0.008, 0.16 / height, note, color=FAINT, fontsize=8, va="center")


def _colour_bar(bar: Axes, heat, threshold: float) -> None:
    figure = bar.get_figure()
    assert figure is not None
    colour_bar = figure.colorbar(heat, cax=bar, ticks=[0, 0.25, 0.5, 0.75, 1])
    colour_bar.set_label("fracture probability", color=TEXT, fontsize=9)
    colour_bar.outline.set_edgecolor(FAINT)  # type: ignore[operator]
    bar.tick_params(colors=FAINT, labelsize=8)
    bar.axhline(threshold, color=TEXT, linewidth=1.4)


def _caption(focus: Focus, level: str, plane: Plane, threshold: float) -> str:
    where = f"{plane.name.capitalize()} plane" + (f", {level}" if level else "")
    if focus.found_by == "truth":
        return (
            f"{where}: reference lesion of {focus.volume_ml:.2f} mL, "
            f"highest probability on it {focus.probability:.2f} (threshold {threshold:.2f})."
        )
    if focus.found_by == "prediction":
        return f"{where}: predicted peak, probability {focus.probability:.2f}."
    return (
        f"{where}: highest probability of the case, {focus.probability:.2f}, "
        f"below the threshold of {threshold:.2f}."
    )
