"""Bone and predicted fracture as meshes in one binary glTF file, which any viewer turns about.

trimesh packs the file. Its normals, materials and order are set here: bone is translucent, and
viewers need what is opaque first.

References:
    Lorensen and Cline (1987), "Marching cubes: a high resolution 3D surface construction
    algorithm", SIGGRAPH.
    Khronos Group (2021), "glTF 2.0 Specification".
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from skimage.measure import marching_cubes
from trimesh.exchange.gltf import export_glb
from trimesh.exchange.ply import export_ply
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from vfseg.drawing.figures import RESEARCH_NOTE
from vfseg.files import atomic_file
from vfseg.report.rendering import BONE_COLOUR
from vfseg.report.solids import SURFACE, Solids

_TO_GLTF = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]]) / 1000  # R A S mm -> L S A m
_SURFACE = {"metallicFactor": 0.0, "roughnessFactor": 0.7}
FRACTURE_MATERIAL = PBRMaterial(
    name="predicted fracture", baseColorFactor=(0.90, 0.08, 0.06, 1.0), **_SURFACE
)
BONE_MATERIAL = PBRMaterial(
    name="bone",
    baseColorFactor=(*BONE_COLOUR, 0.40),
    alphaMode="BLEND",
    doubleSided=True,
    **_SURFACE,
)


def write_meshes(solids: Solids, path: Path) -> bool:
    """Writes bone (translucent) and fracture (red) as one GLB file; equal solids, equal files.

    Coordinates are the CT's world in metres with the axes of glTF: x to the patient's left, y up,
    z to the front.

    Args:
        solids: of the case, see `build_solids`.
        path: `.glb` file to write.

    Returns:
        Whether there was a surface to write.
    """
    meshes, to_gltf = trimesh.Scene(), _TO_GLTF @ solids.affine[:3]
    for name, mesh in _surfaces(solids, to_gltf):
        meshes.add_geometry(mesh, node_name=name, geom_name=name)
    if not meshes.geometry:
        return False
    content = export_glb(meshes, include_normals=True, tree_postprocessor=_mark)
    with atomic_file(path) as file:
        file.write(content)
    return True


def packed_surfaces(solids: Solids) -> dict[str, bytes]:
    """Bone and fracture for the viewer of a page, each as a binary PLY in RAS+ mm.

    Args:
        solids: of the case, see `build_solids`.

    Returns:
        Name of each material of which there is a surface, and the file.
    """
    found = {}
    for name, mesh in _surfaces(solids, solids.affine):
        plain = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        found[name] = export_ply(plain, vertex_normal=False)
    return found


def _surfaces(solids: Solids, affine: np.ndarray) -> Iterator[tuple[str, trimesh.Trimesh]]:
    """Name and surface of fracture and bone, what is opaque first; none of an empty solid."""
    for material, field, step in (
        (FRACTURE_MATERIAL, solids.fracture, 1),
        (BONE_MATERIAL, solids.bone, 2),
    ):
        mesh = _surface(field, step, affine, material)
        if mesh is not None:
            yield material.name, mesh


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
