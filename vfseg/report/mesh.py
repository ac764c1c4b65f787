"""Bone, predicted and true fracture as meshes: in one binary glTF file, and as STL files.

trimesh packs the files. Normals, materials and order are set here: bone and truth are translucent,
and viewers need what is opaque first. A binary STL file holds one part and no name, so each part
has a file of its own.

References:
    Lorensen and Cline (1987), "Marching cubes: a high resolution 3D surface construction
    algorithm", SIGGRAPH.
    Khronos Group (2021), "glTF 2.0 Specification".
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import trimesh
from matplotlib.colors import to_rgb
from skimage.measure import marching_cubes
from trimesh.exchange.gltf import export_glb
from trimesh.exchange.ply import export_ply
from trimesh.exchange.stl import export_stl
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from vfseg.drawing.figures import REFERENCE, RESEARCH_NOTE
from vfseg.files import atomic_file
from vfseg.report.rendering import BONE_COLOUR
from vfseg.report.solids import SURFACE, Solids

_TO_GLTF = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]) / 1000  # R A S mm -> L S A m
_SURFACE = {"metallicFactor": 0.0, "roughnessFactor": 0.7}
_TRANSLUCENT = {"alphaMode": "BLEND", "doubleSided": True}
_FRACTURE_COLOUR = (0.90, 0.08, 0.06)

STL_FILES = {
    "bone": "spine-bone.stl",
    "fracture": "spine-fracture.stl",
    "truth": "spine-truth.stl",
}
"""File of each part, by the field of `Solids`."""
_STL_HEADER = f"vfseg, mm. {RESEARCH_NOTE} SPACE=RAS".encode()  # as 3D Slicer reads it
_STL_HEADER_BYTES = 80


class _Part(NamedTuple):
    """A surface: the field of `Solids` that it bounds, its name for users, its mesh."""

    field: str
    name: str
    mesh: trimesh.Trimesh


def write_meshes(solids: Solids, path: Path) -> bool:
    """Writes fracture, bone and truth as one GLB file; equal solids, equal files.

    Coordinates are the CT's world in metres with the axes of glTF: x to the patient's left, y up,
    z to the front.

    Args:
        solids: of the case, see `build_solids`.
        path: `.glb` file to write.

    Returns:
        Whether there was a surface to write.
    """
    meshes, to_gltf = trimesh.Scene(), _TO_GLTF @ solids.affine[:3]
    for part in _parts(solids, to_gltf):
        meshes.add_geometry(part.mesh, node_name=part.name, geom_name=part.name)
    if not meshes.geometry:
        return False
    content = export_glb(meshes, include_normals=True, tree_postprocessor=_mark)
    with atomic_file(path) as file:
        file.write(content)
    return True


def write_stl_files(solids: Solids, folder: Path) -> list[Path]:
    """Writes each part as a binary STL file in RAS+ mm, the CT's world; equal solids, equal files.

    The header says "SPACE=RAS", without which 3D Slicer takes an STL file for LPS.

    Args:
        solids: of the case, see `build_solids`.
        folder: of the files.

    Returns:
        The files, one for each part that has a surface.
    """
    written = []
    for part in _parts(solids, solids.affine):
        content = _STL_HEADER.ljust(_STL_HEADER_BYTES) + export_stl(part.mesh)[_STL_HEADER_BYTES:]
        written.append(folder / STL_FILES[part.field])
        with atomic_file(written[-1]) as file:
            file.write(content)
    return written


def packed_surfaces(solids: Solids) -> dict[str, bytes]:
    """Bone and fracture for the viewer of a page, each as a binary PLY in RAS+ mm.

    Args:
        solids: of the case, see `build_solids`.

    Returns:
        Name of each material of which there is a surface, and the file.
    """
    found = {}
    for part in _parts(solids, solids.affine):
        if part.field != "truth":
            plain = trimesh.Trimesh(part.mesh.vertices, part.mesh.faces, process=False)
            found[part.name] = export_ply(plain, vertex_normal=False)
    return found


def _parts(solids: Solids, affine: np.ndarray) -> Iterator[_Part]:
    """The surfaces, what is opaque first; none of an empty solid."""
    called = "true fracture (synthetic)" if solids.synthetic else "true fracture"
    fracture = _material("predicted fracture", _FRACTURE_COLOUR)
    truth = _material(called, to_rgb(REFERENCE), 0.55)
    bone = _material("bone", BONE_COLOUR, 0.40)
    for field, material, step in (
        ("fracture", fracture, 1),
        ("truth", truth, 1),
        ("bone", bone, 2),
    ):
        values = getattr(solids, field)
        mesh = None if values is None else _surface(values, step, affine, material)
        if mesh is not None:
            yield _Part(field, material.name, mesh)


def _material(name: str, colour: Sequence[float], opacity: float = 1.0) -> PBRMaterial:
    """A material of a colour of the screen (sRGB), which glTF wants as shares of light."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    looks = _SURFACE if opacity == 1 else _SURFACE | _TRANSLUCENT
    return PBRMaterial(name=name, baseColorFactor=(*linear, opacity), **looks)


def _surface(
    field: np.ndarray, step: int, affine: np.ndarray, material: PBRMaterial
) -> trimesh.Trimesh | None:
    """Closed surface of a solid by marching cubes over every `step`-th voxel; None if empty.

    Args:
        field: `d h w`.
        step: voxels.
        affine: [4, 4], index of the field -> the coordinates of the surface.
        material: of the surface.
    """
    coarse = np.pad(field[::step, ::step, ::step], 1)
    if not coarse.max() > SURFACE:
        return None
    vertices, faces, normals, _ = marching_cubes(coarse, SURFACE, gradient_direction="ascent")
    linear = affine[:3, :3]
    points = ((vertices - 1) * step) @ linear.T + affine[:3, 3]
    directions = normals @ linear.T
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-12)
    if np.linalg.det(linear) < 0:
        faces = faces[:, ::-1]
    return trimesh.Trimesh(
        points,
        faces,
        vertex_normals=directions,
        visual=TextureVisuals(material=material),
        process=False,
    )


def _mark(document: dict[str, Any]) -> None:
    document["asset"] |= {"generator": "vfseg, trimesh", "copyright": RESEARCH_NOTE}
