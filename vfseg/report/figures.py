"""Heat maps of fracture probability on the CT, as radiologists hang their pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from vfseg.data.box import box_between, grown, shape_of, start_of, whole
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
    Extent,
    Hanging,
    oriented_slice,
    picture_extent,
    view_box,
)
from vfseg.inference.boxed_map import ProbabilityMap
from vfseg.report.captions import caption_of, place_caption
from vfseg.report.curved import along_spine
from vfseg.report.foci import Focus, find_foci, level_at
from vfseg.report.scene import Scene, predicted
from vfseg.report.view_grid import VIEW_MARGIN_MM

MIDLINE = "midline.png"
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


class _Cut(NamedTuple):
    """What a picture shows of a case, "rows columns", and where that lies.

    Attributes:
        ct: HU.
        probability: in [0, 1].
        truth: bool; None where it is not known.
        extent: of the picture.
        hanging: of the plane.
    """

    ct: np.ndarray
    probability: np.ndarray
    truth: np.ndarray | None
    extent: Extent
    hanging: Hanging


def overlay_figures(scene: Scene, directory: Path, surest: Mapping[str, float]) -> list[Picture]:
    """Draws CT, CT with heat map, and CT with outlines, side by side: the spine, and places in it.

    First comes the whole spine, sagittal along its middle. Two places at most (see `find_foci`)
    get an axial, a sagittal and a coronal picture, in millimetres: the largest reference lesions
    and the highest peaks elsewhere, or without a reference the peaks in the surest vertebrae.

    Args:
        scene: of the case.
        directory: where the PNG files go; made if missing.
        surest: probability of a fracture by level; places in the surest vertebrae come first.

    Returns:
        The pictures in the order in which they should be shown; none of a map that is 0 everywhere
        where no vertebra is known.
    """
    directory.mkdir(parents=True, exist_ok=True)
    pictures = []
    spacing = scene.ct.voxel_spacing
    instances = None if scene.reference is None else scene.reference.instances
    candidates = None if instances is None else _PLACES
    foci = find_foci(scene.probability, instances, scene.threshold, spacing, candidates)
    if foci or scene.spine.vertebrae:
        write_png(draw_midline(scene), directory / MIDLINE)
        pictures.append(Picture(directory / MIDLINE, caption_of("midline")))
    levels = {focus: level_at(focus.point, scene.spine.vertebrae, spacing) for focus in foci}
    foci.sort(key=lambda focus: -surest.get(levels[focus], -1.0))  # stable
    for number, focus in enumerate(foci[:_PLACES], start=1):
        for hanging in HANGINGS:
            path = directory / f"place-{number}-{hanging.name}.png"
            write_png(draw_place(scene, focus, hanging), path)
            plane = hanging.name, *_slice_of(scene, focus, hanging)
            caption = place_caption(focus, levels[focus], plane, scene.threshold)
            pictures.append(Picture(path, caption))
    return pictures


def draw_midline(scene: Scene) -> Figure:
    """The whole spine, sagittal: row by row the plane passes through the middle of the bodies.

    Args:
        scene: of the case.
    """
    ct, vertebrae = scene.ct, scene.spine.vertebrae
    box = whole(ct.shape)
    if vertebrae:
        start = np.min([v.start for v in vertebrae], axis=0)
        margin = np.ceil(VIEW_MARGIN_MM / ct.voxel_spacing).astype(int).tolist()
        box = box_between(start, np.max([v.stop for v in vertebrae], axis=0))
        box = grown(box, margin, ct.shape)
    columns = np.rint(along_spine(np.array([v.centre for v in vertebrae]), ct.shape)).astype(int)

    def cut(array: ProbabilityMap) -> np.ndarray:
        rows = range(box[0].stop - 1, box[0].start - 1, -1)
        return np.stack([array[d][box[1], columns[d]][::-1] for d in rows])

    sagittal = next(hanging for hanging in HANGINGS if hanging.name == "sagittal")
    extent = picture_extent(sagittal, shape_of(box), ct.voxel_spacing)
    truth = None if scene.reference is None else cut(scene.reference.instances) > 0
    shown = _Cut(cut(ct.array), cut(scene.probability), truth, extent, sagittal)
    return _drawn(scene, shown, start_of(box), "sagittal along the spine", most=3.0)


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
    origin = start_of(box)
    index = int(focus.point[hanging.axis] - origin[hanging.axis])

    def cut(array: ProbabilityMap) -> np.ndarray:
        return oriented_slice(array[box], hanging, index)

    extent = picture_extent(hanging, shape_of(box), spacing)
    truth = None if scene.reference is None else cut(scene.reference.instances) > 0
    shown = _Cut(cut(ct.array), cut(scene.probability), truth, extent, hanging)
    level = level_at(focus.point, vertebrae, spacing)
    no_finding = "below the threshold: no finding" if focus.found_by == "maximum" else ""
    axis, number = _slice_of(scene, focus, hanging)
    words = filter(None, (level, f"{hanging.name}, {axis} = {number}", no_finding))
    return _drawn(scene, shown, origin, "   ".join(words), most=2.0)


def _drawn(scene: Scene, cut: _Cut, origin: Sequence[int], title: str, *, most: float) -> Figure:
    """Three panels of a cut, a colour bar, names of the vertebrae, title and notes.

    Args:
        scene: of the case.
        cut: what is shown.
        origin: voxel (d, h, w) of the case at the lower right of the picture.
        title: what is shown, in words.
        most: height of a panel at most, in widths.
    """
    extent, hanging, spacing = cut.extent, cut.hanging, scene.ct.voxel_spacing
    height = _PANEL_INCHES * extent.height / extent.width
    figure, panels, bar = _canvas(min(height, most * _PANEL_INCHES), wide=3)
    for panel in panels:
        show_ct(panel, cut.ct, extent)
    heat = panels[1].imshow(
        cut.probability.astype(np.float32),
        cmap=PROBABILITY_COLOURS,
        vmin=0.0,
        vmax=1.0,
        extent=extent,
        interpolation="bilinear",
        interpolation_stage="data",
    )
    mask = predicted(cut.probability, scene.threshold)
    outline(panels[2], mask, extent, POINTED_OUT)
    if cut.truth is not None:
        outline(panels[2], cut.truth, extent, REFERENCE)
    _colour_bar(bar, heat, scene.threshold)
    orientation_letters(panels[0], hanging)
    scale_bar(panels[0], extent)
    if hanging.rows == 0:
        for vertebra in scene.spine.vertebrae:
            y = extent.bottom - (vertebra.centre[0] - origin[0] + 0.5) * spacing[0]
            if extent.top + 4 < y < extent.bottom - 4:
                x = extent.left + 0.1 * extent.width
                panels[0].text(x, y, vertebra.level, color=LEVEL, fontsize=10, va="center")
    _headings(figure, scene, f"{scene.title}   {title}", anything=bool(mask.any()))
    return figure


def _slice_of(scene: Scene, focus: Focus, hanging: Hanging) -> tuple[str, int]:
    """Axis i, j or k of the file of the CT, and the number of the slice along it, from 0."""
    geometry, at = scene.ct.geometry, focus.point[hanging.axis]
    if geometry.flips[hanging.axis]:
        at = geometry.shape[hanging.axis] - 1 - at
    return "ijk"[geometry.axes[hanging.axis]], at


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


def _headings(figure: Figure, scene: Scene, title: str, *, anything: bool) -> None:
    """Title, a heading above each panel, and the note at the foot."""
    height = figure.get_size_inches()[1]
    write_line(figure, (0.008, 1 - 0.2 / height), title, 12, TEXT)
    reached = f"\N{GREATER-THAN OR EQUAL TO} {scene.threshold:.2f}"
    outlines = [(POINTED_OUT, f"prediction {reached}") if anything else (FAINT, f"none {reached}")]
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
