"""Pictures of what an audit found: the CT with the outlines of its labels and fractures."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nibabel.affines import apply_affine

from vfseg.audit import Finding, Place
from vfseg.data.anatomy import read_vertebrae
from vfseg.data.box import label_boxes
from vfseg.data.cases import Case
from vfseg.data.schemes import SCHEMES
from vfseg.data.vertebra_labels import read_vertebra_labels
from vfseg.data.volume import Volume, read_ct, read_labels
from vfseg.drawing.figures import (
    BACKGROUND,
    FAINT,
    LEVEL,
    POINTED_OUT,
    REFERENCE,
    TEXT,
    Picture,
    orientation_letters,
    outline,
    scale_bar,
    show_ct,
    show_part,
    write_line,
    write_name,
    write_png,
)
from vfseg.drawing.hanging import (
    HANGINGS,
    Extent,
    Hanging,
    oriented_mm,
    oriented_slice,
    picture_extent,
)
from vfseg.errors import UserError

_LABELS = (LEVEL, "#c58af9")
_HEIGHT, _WIDTHS, _DPI = 5.6, (1.8, 6.5), 110  # inches
_CLOSE_MM = 80.0


def draw_places(
    case: Case, findings: Sequence[Finding], directory: Path, prefix: str
) -> list[Picture]:
    """Draws the place of each finding: the whole slice, and the point close up.

    Labels and fractures are shown where they lie in the patient, in mm, whatever their grid.

    Args:
        case: whose files are read.
        findings: with a place.
        directory: where the PNG files go.
        prefix: of their names.

    Returns:
        One picture for each finding, in their order.

    Raises:
        UserError: the CT cannot be read, or a picture cannot be written.
    """
    ct = read_ct(case.ct)
    labels = _or_none(case.vertebrae, read_vertebra_labels)
    fractures = _or_none(case.fractures, read_labels)
    levels = _levels(labels)
    pictures = []
    for number, finding in enumerate(findings, 1):
        assert finding.place is not None
        figure = _draw(ct, labels, fractures, levels, finding.place)
        height = figure.get_size_inches()[1]
        title = f"{case.case_id}   {finding.severity}: {finding.kind}"
        write_line(figure, (0.012, 1 - 0.2 / height), title, 12, TEXT)
        write_line(figure, (0.012, 0.14 / height), _legend(finding.place), 8, FAINT)
        path = directory / f"{prefix}-{number}.png"
        write_png(figure, path)
        words = finding.message if len(finding.message) < 300 else finding.message[:299] + "…"
        pictures.append(Picture(path, {"en": f"{finding.severity}: {words}"}, tall=True))
    return pictures


def _or_none(path: Path | None, read: Callable[[Path], Volume]) -> Volume | None:
    with contextlib.suppress(UserError):
        return None if path is None else read(path)
    return None


def _levels(labels: Volume | None) -> dict[int, str]:
    """Level of each id, where the label map says it without doubt; ids as they are otherwise."""
    if labels is None:
        return {}
    with contextlib.suppress(UserError):
        return {v.label: v.level for v in read_vertebrae(labels, None, "").vertebrae}
    spine = {label for scheme in SCHEMES.values() for label in scheme}
    return {label: f"id {label}" for label in label_boxes(labels.array) if label in spine}


def _draw(
    ct: Volume,
    labels: Volume | None,
    fractures: Volume | None,
    levels: dict[int, str],
    place: Place,
) -> Figure:
    hanging = next(hanging for hanging in HANGINGS if hanging.name == place.plane)
    whole = picture_extent(hanging, ct.shape, ct.voxel_spacing)
    x, y = oriented_mm(place.point, hanging, ct.shape, ct.voxel_spacing)
    left, right = _around(x, whole.left, whole.right)
    top, bottom = _around(y, whole.top, whole.bottom)
    close = Extent(left, right, bottom, top)
    figure, panels = _canvas([whole, close])
    image = oriented_slice(ct.array, hanging, place.index)
    shown = [labels_on_slice(volume, ct, hanging, place.index) for volume in (labels, fractures)]
    for panel, part in zip(panels, (whole, close)):
        show_ct(panel, image, whole)
        if shown[0] is not None:
            for number, (label, name) in enumerate(levels.items()):
                _contour(panel, shown[0] == label, whole, _LABELS[number % 2], name)
        if shown[1] is not None:
            _contour(panel, shown[1] > 0, whole, REFERENCE)
        show_part(panel, part)
        scale_bar(panel, part)
    orientation_letters(panels[0], hanging)
    across, down = (left, right, right, left, left), (bottom, bottom, top, top, bottom)
    panels[0].plot(across, down, color=POINTED_OUT, linewidth=0.8)
    panels[1].plot([x], [y], "+", color=POINTED_OUT, markersize=9, markeredgewidth=1.0)
    return figure


def _around(at: float, low: float, high: float) -> tuple[float, float]:
    """An interval of `_CLOSE_MM` around a point, moved so as to stay within (low, high)."""
    size = min(_CLOSE_MM, high - low)
    start = min(max(low, at - size / 2), high - size)
    return start, start + size


def _canvas(extents: Sequence[Extent]) -> tuple[Figure, list[Axes]]:
    """One panel for each extent, all of one height."""
    top, bottom, gap = 0.42, 0.3, 0.08
    widths = [float(np.clip(_HEIGHT * part.width / part.height, *_WIDTHS)) for part in extents]
    width, height = sum(widths) + gap * (len(widths) + 1), _HEIGHT + top + bottom
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    panels, left = [], gap
    for size in widths:
        place = left / width, bottom / height, size / width, _HEIGHT / height
        panel = figure.add_axes(place, facecolor="black")
        panel.set_axis_off()
        panels.append(panel)
        left += size + gap
    return figure, panels


def labels_on_slice(
    volume: Volume | None, ct: Volume, hanging: Hanging, index: int
) -> np.ndarray | None:
    """Labels at the voxels of a slice of a CT, looked up in mm, whatever their own grid.

    Args:
        volume: the label map; None gives None.
        ct: whose slice it is.
        hanging: plane of the slice.
        index: of the slice.

    Returns:
        Labels "rows columns" as `oriented_slice` hangs them; 0 outside the label map.
    """
    if volume is None:
        return None
    shape = [1 if axis == hanging.axis else size for axis, size in enumerate(ct.shape)]
    voxels = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3)
    voxels[:, hanging.axis] = index
    to_labels = np.linalg.inv(volume.affine) @ ct.affine
    at = np.rint(apply_affine(to_labels, voxels)).astype(int)
    inside = ((at >= 0) & (at < volume.shape)).all(axis=1)
    found = np.zeros(len(voxels), volume.array.dtype)
    found[inside] = volume.array[tuple(at[inside].T)]
    return oriented_slice(found.reshape(shape), hanging, 0)


def _contour(panel: Axes, mask: np.ndarray, extent: Extent, colour: str, name: str = "") -> None:
    """Outline of a mask, drawn within its own box, with its name in the middle."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    across, down = extent.width / mask.shape[1], extent.height / mask.shape[0]
    own = Extent(
        left=extent.left + box[1].start * across,
        right=extent.left + box[1].stop * across,
        bottom=extent.top + box[0].stop * down,
        top=extent.top + box[0].start * down,
    )
    outline(panel, mask[box], own, colour)
    if name:
        middle = (own.left + own.right) / 2, (own.bottom + own.top) / 2
        write_name(panel, middle, name, colour, 8)


def _legend(place: Place) -> str:
    return f"{place.plane} slice {place.index}; labels blue, violet; fractures green; place yellow"
