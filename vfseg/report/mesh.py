"""Bone and predicted fracture in 3D: one picture of two views, and a mesh to turn about."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from skimage.measure import marching_cubes

from vfseg.drawing.figures import BACKGROUND, FAINT, LEVEL, TEXT, Picture, write_png
from vfseg.files import atomic_file
from vfseg.report.gltf import Material, Mesh, write_glb
from vfseg.report.rendering import PIXEL_MM, VIEWS, View, cast, shade
from vfseg.report.solids import Solids

_MARGIN_MM = 9.0
_INCHES_PER_MM = 1 / 28.0
_DPI = 120
_MESH_STEP = {"bone": 2, "fracture": 1}
BONE_MATERIAL = Material("bone", (0.93, 0.87, 0.76, 0.40))
FRACTURE_MATERIAL = Material("predicted fracture", (0.90, 0.08, 0.06, 1.0))


def render_case(solids: Solids, *, case_id: str, path: Path) -> Picture:
    """Draws the spine from the front and from the left, fractures shining red through the bone.

    Args:
        solids: of the case, see `build_solids`.
        case_id: for the title.
        path: PNG file to write.

    Returns:
        The picture.
    """
    views = [_view(solids, view) for view in VIEWS]
    widths = [(right - left) * _INCHES_PER_MM for _, (left, right, _, _) in views]
    tall = max(top - bottom for _, (_, _, bottom, top) in views) * _INCHES_PER_MM
    size = max(sum(widths), 5.5), tall + 0.9
    figure = Figure(figsize=size, dpi=_DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    left_inches = (size[0] - sum(widths)) / 2
    for view, (picture, extent), width in zip(VIEWS, views, widths, strict=True):
        place = left_inches / size[0], 0.3 / size[1], width / size[0], tall / size[1]
        axes = figure.add_axes(place)
        axes.set_axis_off()
        axes.imshow(picture, extent=extent, interpolation="lanczos")
        axes.set_title(view.title, color=FAINT, fontsize=9, pad=2)
        _level_names(axes, picture, extent, solids)
        left_inches += width
    title = f"{case_id}   predicted fracture, probability ≥ {solids.threshold:.2f}"
    figure.text(
        *(0.012, 1 - 0.2 / size[1], title),
        color=TEXT,
        fontsize=12,
        va="center",
        parse_math=False,  # the title holds a user's case id
    )
    figure.text(0.012, 0.16 / size[1], "Research use only.", color=FAINT, fontsize=8, va="center")
    write_png(figure, path)
    caption = "Bone, and in red the predicted fracture, which shines through it."
    return Picture(path, caption, tall=True)


def write_meshes(solids: Solids, path: Path) -> bool:
    """Writes bone (translucent) and fracture (red) as one GLB file.

    Coordinates are the CT's world in metres with the axes of glTF: x to the patient's left, y up,
    z to the front.

    Args:
        solids: of the case, see `build_solids`.
        path: `.glb` file to write.

    Returns:
        Whether there was a surface to write.
    """
    meshes = []
    for material, field, level, step in (
        (FRACTURE_MATERIAL, solids.fracture, solids.threshold, _MESH_STEP["fracture"]),
        (BONE_MATERIAL, solids.bone, 0.5, _MESH_STEP["bone"]),
    ):
        mesh = _surface(field, level, step, solids.affine, material)
        if mesh is not None:
            meshes.append(mesh)
    if meshes:
        with atomic_file(path) as file:
            file.write(write_glb(meshes))
    return bool(meshes)


def _surface(
    field: np.ndarray, level: float, step: int, affine: np.ndarray, material: Material
) -> Mesh | None:
    """Closed surface of `field >= level` by marching cubes, in glTF's axes; None if empty."""
    coarse = np.pad(field[::step, ::step, ::step], 1)
    if not coarse.max() > level:
        return None
    vertices, faces, normals, _ = marching_cubes(coarse, level, gradient_direction="ascent")
    to_gltf = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]) / 1000  # R A S mm -> L S A m
    linear = to_gltf @ affine[:3, :3]
    points = ((vertices - 1) * step) @ linear.T + to_gltf @ affine[:3, 3]
    directions = normals @ linear.T
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    if np.linalg.det(linear) < 0:
        faces = faces[:, ::-1]
    return Mesh(material, points, directions, faces)


def _view(solids: Solids, view: View):
    """Picture of one view, cut to its content, and its extent in mm about the grid's centre."""
    spacing = solids.spacing
    tall, deep, wide = (np.array(solids.bone.shape) + 2) * spacing
    shape = int(np.ceil(tall / PIXEL_MM)), int(np.ceil(np.hypot(deep, wide) / PIXEL_MM))
    bone = cast(solids.bone, 0.5, spacing, view, shape)
    fracture = cast(solids.fracture, solids.threshold, spacing, view, shape)
    picture = shade(bone, fracture)
    seen = np.isfinite(bone.depth) | np.isfinite(fracture.depth)
    rows, columns = (_content(seen.any(axis=axis)) for axis in (1, 0))
    half_wide, half_tall = shape[1] * PIXEL_MM / 2, shape[0] * PIXEL_MM / 2
    extent = (
        columns.start * PIXEL_MM - half_wide,
        columns.stop * PIXEL_MM - half_wide,
        half_tall - rows.stop * PIXEL_MM,
        half_tall - rows.start * PIXEL_MM,
    )
    return picture[rows, columns], extent


def _content(seen: np.ndarray) -> slice:
    """The stretch of an axis on which something is seen, with a margin on both sides."""
    inside = np.flatnonzero(seen)
    if not inside.size:
        return slice(0, len(seen))
    margin = round(_MARGIN_MM / PIXEL_MM)
    return slice(max(0, int(inside[0]) - margin), min(len(seen), int(inside[-1]) + 1 + margin))


def _level_names(axes, picture: np.ndarray, extent, solids: Solids) -> None:
    """Level names along the left side, at the height of the vertebral bodies."""
    middle = (solids.bone.shape[0] - 1) / 2
    for name, centre in solids.levels:
        y = (centre[0] - middle) * solids.spacing
        axes.text(extent[0] + 1.5, y, name, color=LEVEL, fontsize=9, va="center")
