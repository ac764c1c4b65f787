"""Heat maps of fracture probability on the CT, as radiologists hang their pictures."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from vfseg.data.box import shape_of, start_of
from vfseg.drawing.figures import (
    BACKGROUND,
    BONE_WINDOW,
    FAINT,
    LEVEL,
    POINTED_OUT,
    REFERENCE,
    RESEARCH_NOTE,
    TEXT,
    Picture,
    orientation_letters,
    outline,
    scale_bar,
    show_ct,
    write_line,
    write_png,
)
from vfseg.drawing.hanging import (
    HANGINGS,
    Hanging,
    oriented_mm,
    oriented_slice,
    picture_extent,
    view_box,
)
from vfseg.inference.boxed_map import ProbabilityMap
from vfseg.report.foci import Focus, find_foci, level_at
from vfseg.report.scene import Scene, predicted

_VIEW_MM = 110.0  # three lumbar vertebrae
_PLACES = 2
_DPI = 120
_PANEL_INCHES = 3.1


def _probability_colours() -> ListedColormap:
    """Inferno without its black end; clear below 0.05, nearly opaque from 0.5 on."""
    steps = np.linspace(0.0, 1.0, 256)
    colours = matplotlib.colormaps["inferno"](0.25 + 0.7 * steps)
    colours[:, 3] = 0.85 * np.clip((steps - 0.05) / 0.45, 0.0, 1.0)
    return ListedColormap(colours, "fracture_probability")


PROBABILITY_COLOURS = _probability_colours()


def overlay_figures(scene: Scene, directory: Path) -> list[Picture]:
    """Draws CT, CT with heat map, and CT with outlines, side by side, through each place.

    Places are the largest reference lesions and the highest peaks elsewhere, two at most (see
    `find_foci`); each gets an axial, a sagittal and a coronal picture, in millimetres.

    Args:
        scene: of the case.
        directory: where the PNG files go; made if missing.

    Returns:
        The pictures in the order in which they should be shown.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pictures = []
    spacing = scene.ct.voxel_spacing
    instances = None if scene.reference is None else scene.reference.instances
    foci = find_foci(scene.probability, instances, scene.threshold, spacing, _PLACES)
    for number, focus in enumerate(foci, start=1):
        level = level_at(focus.point, scene.spine.vertebrae, spacing)
        for hanging in HANGINGS:
            path = directory / f"place-{number}-{hanging.name}.png"
            write_png(draw_place(scene, focus, hanging), path)
            pictures.append(Picture(path, _caption(focus, level, hanging, scene.threshold)))
    return pictures


def draw_place(scene: Scene, focus: Focus, hanging: Hanging) -> Figure:
    """One plane through one place: three panels, a colour bar, title and notes.

    Args:
        scene: of the case.
        focus: the place.
        hanging: the plane.
    """
    ct, vertebrae = scene.ct, scene.spine.vertebrae
    spacing = ct.voxel_spacing
    box = view_box(focus.point, ct.shape, spacing, _VIEW_MM)
    origin, shape = np.array(start_of(box)), shape_of(box)
    index = int(focus.point[hanging.axis] - origin[hanging.axis])
    extent = picture_extent(hanging, shape, spacing)

    def cut(array: ProbabilityMap) -> np.ndarray:
        return oriented_slice(array[box], hanging, index)

    height = _PANEL_INCHES * extent.height / extent.width
    figure, panels, bar = _canvas(min(height, 2 * _PANEL_INCHES), wide=3)
    for panel in panels:
        show_ct(panel, cut(ct.array), extent)
    probability = cut(scene.probability)
    heat = panels[1].imshow(
        probability.astype(np.float32),
        cmap=PROBABILITY_COLOURS,
        vmin=0.0,
        vmax=1.0,
        extent=extent,
        interpolation="bilinear",
        interpolation_stage="data",
    )
    outline(panels[2], predicted(probability, scene.threshold), extent, POINTED_OUT)
    if scene.reference is not None:
        outline(panels[2], cut(scene.reference.instances) > 0, extent, REFERENCE)
    _colour_bar(bar, heat, scene.threshold)
    orientation_letters(panels[0], hanging)
    scale_bar(panels[0], extent)
    if hanging.rows == 0:
        for vertebra in vertebrae:
            centre = np.asarray(vertebra.centre) - origin
            _, y = oriented_mm(centre, hanging, shape, spacing)
            if extent.top + 4 < y < extent.bottom - 4:
                x = extent.left + 0.1 * extent.width
                panels[0].text(x, y, vertebra.level, color=LEVEL, fontsize=10, va="center")
    level = level_at(focus.point, vertebrae, spacing)
    _headings(figure, scene, "   ".join(filter(None, (scene.title, level, hanging.name))))
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


def _headings(figure: Figure, scene: Scene, title: str) -> None:
    """Title, a heading above each panel, and the note at the foot."""
    height = figure.get_size_inches()[1]
    write_line(figure, (0.008, 1 - 0.2 / height), title, 12, TEXT)
    outlines = [(POINTED_OUT, f"prediction \N{GREATER-THAN OR EQUAL TO} {scene.threshold:.2f}")]
    note = f"{RESEARCH_NOTE}   Bone window {BONE_WINDOW[0]:.0f} to {BONE_WINDOW[1]:.0f} HU."
    if scene.reference is not None:
        synthetic = scene.reference.synthetic
        outlines.append((REFERENCE, "synthetic truth" if synthetic else "truth"))
        note += "   Truth is synthetic." if synthetic else ""
    headings = [[(FAINT, "CT")], [(FAINT, "CT + fracture probability")], outlines]
    for panel, parts in zip(figure.axes, headings, strict=False):
        left, right = panel.get_position().x0, panel.get_position().x1
        for number, (colour, words) in enumerate(parts):
            x = left + number * 0.5 * (right - left)
            write_line(figure, (x, 1 - 0.48 / height), words, 9, colour)
    write_line(figure, (0.008, 0.16 / height), note, 8, FAINT)


def _colour_bar(bar: Axes, heat: AxesImage, threshold: float) -> None:
    figure = bar.get_figure()
    assert figure is not None
    colour_bar = figure.colorbar(heat, cax=bar, ticks=[0, 0.25, 0.5, 0.75, 1])
    colour_bar.set_label("fracture probability", color=TEXT, fontsize=9)
    colour_bar.outline.set_edgecolor(FAINT)  # type: ignore[operator]
    bar.tick_params(colors=FAINT, labelsize=8)
    bar.axhline(threshold, color=TEXT, linewidth=1.4)


def _caption(focus: Focus, level: str, hanging: Hanging, threshold: float) -> str:
    where = f"{hanging.name.capitalize()} plane" + (f", {level}" if level else "")
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
