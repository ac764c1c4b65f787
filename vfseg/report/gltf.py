"""Triangle meshes as one binary glTF file, which any viewer opens.

References:
    Khronos Group (2021), "glTF 2.0 Specification", section 4 (GLB file format).
"""

import json
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_FLOAT, _UNSIGNED_INT = 5126, 5125
_VERTICES, _INDICES = 34962, 34963  # buffer targets


class Material(NamedTuple):
    """Name and linear colour (red, green, blue, opacity) in [0, 1]."""

    name: str
    colour: tuple[float, float, float, float]


class Mesh(NamedTuple):
    """A triangle mesh.

    Attributes:
        material: one material for the whole mesh; its name is the mesh's name.
        vertices: "v 3", metres, x y z with y up; the front of the object looks along z.
        normals: "v 3", unit vectors outwards.
        faces: "f 3" indices of vertices, counter-clockwise from outside.
    """

    material: Material
    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray


def write_glb(meshes: Sequence[Mesh]) -> bytes:
    """Packs meshes into a GLB file.

    Args:
        meshes: drawn in this order (opaque before translucent ones).

    Returns:
        The bytes of the file.
    """
    blobs: list[bytes] = []
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []

    def store(array: np.ndarray, kind: str, component: int, target: int, **more) -> int:
        offset = sum(map(len, blobs))
        blobs.append(array.tobytes())  # 4-byte components: every offset stays aligned
        views.append(
            {"buffer": 0, "byteOffset": offset, "byteLength": array.nbytes, "target": target}
        )
        accessor = {"bufferView": len(views) - 1, "componentType": component, "type": kind}
        accessors.append({**accessor, **more})
        return len(accessors) - 1

    document_meshes = []
    for number, mesh in enumerate(meshes):
        vertices = np.ascontiguousarray(mesh.vertices, "<f4")
        bounds = {"min": vertices.min(axis=0).tolist(), "max": vertices.max(axis=0).tolist()}
        attributes = {
            "POSITION": store(vertices, "VEC3", _FLOAT, _VERTICES, count=len(vertices), **bounds),
            "NORMAL": store(
                np.ascontiguousarray(mesh.normals, "<f4"),
                *("VEC3", _FLOAT, _VERTICES),
                count=len(vertices),
            ),
        }
        faces = np.ascontiguousarray(mesh.faces, "<u4").ravel()
        indices = store(faces, "SCALAR", _UNSIGNED_INT, _INDICES, count=faces.size)
        primitive = {"attributes": attributes, "indices": indices, "material": number}
        document_meshes.append({"name": mesh.material.name, "primitives": [primitive]})

    document = {
        "asset": {"version": "2.0", "generator": "vfseg", "copyright": "Research use only."},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(meshes)))}],
        "nodes": [{"mesh": i, "name": mesh.material.name} for i, mesh in enumerate(meshes)],
        "meshes": document_meshes,
        "materials": [_material(mesh.material) for mesh in meshes],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": sum(map(len, blobs))}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    chunks = _chunk(b"JSON", text, b" ") + _chunk(b"BIN\0", b"".join(blobs), b"\0")
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _material(material: Material) -> dict[str, Any]:
    surface = {
        "baseColorFactor": list(material.colour),
        "metallicFactor": 0.0,
        "roughnessFactor": 0.7,
    }
    made: dict[str, Any] = {"name": material.name, "pbrMetallicRoughness": surface}
    if material.colour[3] < 1:
        made |= {"alphaMode": "BLEND", "doubleSided": True}
    return made


def _chunk(kind: bytes, content: bytes, padding: bytes) -> bytes:
    content += padding * (-len(content) % 4)
    return struct.pack("<I4s", len(content), kind) + content
