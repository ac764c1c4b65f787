import dataclasses
import json
import struct

import numpy as np
import pytest

from tests.report.scene import SPACING, make_scene
from vfseg.report.mesh import write_meshes
from vfseg.report.solids import build_solids


def parse_glb(content):
    """The JSON document and, for each mesh, its (vertices, normals, faces)."""
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert (kind, size % 4) == (b"JSON", 0)
    document = json.loads(content[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<I4s", content, 20 + size)
    assert (kind, binary_size % 4) == (b"BIN\0", 0)
    binary = content[28 + size :]
    assert len(binary) == binary_size
    assert 0 <= binary_size - document["buffers"][0]["byteLength"] < 4

    def array(index):
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        dtype = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        part = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        columns = {"VEC3": 3, "SCALAR": 1}[accessor["type"]]
        return np.frombuffer(part, dtype).reshape(accessor["count"], columns)

    meshes = {}
    for mesh in document["meshes"]:
        (primitive,) = mesh["primitives"]
        attributes = primitive["attributes"]
        meshes[mesh["name"]] = (
            array(attributes["POSITION"]),
            array(attributes["NORMAL"]),
            array(primitive["indices"]).reshape(-1, 3),
        )
    return document, meshes


def enclosed_volume(vertices, faces):
    """By the divergence theorem; positive where faces turn counter-clockwise from outside."""
    a, b, c = (vertices[faces[:, corner]].astype(float) for corner in range(3))
    return np.einsum("fi,fi->", a, np.cross(b, c)) / 6


def solids():
    """Of the two vertebrae and the sheet alone: at 0.7 there is no false alarm."""
    return build_solids(dataclasses.replace(make_scene(), threshold=0.7))


@pytest.fixture
def glb(tmp_path):
    assert write_meshes(solids(), tmp_path / "spine.glb")
    return (tmp_path / "spine.glb").read_bytes()


def test_meshes_lie_in_the_world_of_the_ct_and_turn_outwards(glb):
    _, meshes = parse_glb(glb)
    assert list(meshes) == ["predicted fracture", "bone"]  # opaque first
    for name, voxels in (("bone", 2 * 14 * 25 * 20), ("predicted fracture", 2 * 18 * 16)):
        vertices, normals, faces = meshes[name]
        volume = enclosed_volume(vertices, faces) * 1e9  # m3 -> mm3
        assert volume == pytest.approx(voxels * np.prod(SPACING), rel=0.25)
        a, b, c = (vertices[faces[:, corner]] for corner in range(3))
        outward = np.cross(b - a, c - a)
        assert (np.einsum("fi,fi->f", outward, normals[faces[:, 0]]) > 0).mean() > 0.95
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    # The sheet: d 36..37, h 30..47, w 10..25; x = -R, y = S, z = A, in metres.
    middle = meshes["predicted fracture"][0]
    middle = (middle.min(axis=0) + middle.max(axis=0)) / 2 * 1000
    np.testing.assert_allclose(middle, [-17.5 * 2.0, 36.5 * 1.5, 38.5 * 1.0], atol=0.8)


def test_the_file_says_what_viewers_need(glb):
    """Nodes by name, bounds of the positions, red opaque, ivory translucent with two sides."""
    document, meshes = parse_glb(glb)
    names = list(meshes)
    assert document["asset"]["version"] == "2.0"
    assert document["asset"]["copyright"] == "Research use only."
    nodes = [document["nodes"][index] for index in document["scenes"][document["scene"]]["nodes"]]
    assert [(node["name"], node["mesh"]) for node in nodes] == list(zip(names, (0, 1)))
    for mesh in document["meshes"]:
        (primitive,) = mesh["primitives"]
        bounds = document["accessors"][primitive["attributes"]["POSITION"]]
        np.testing.assert_array_equal(bounds["min"], meshes[mesh["name"]][0].min(axis=0))
        np.testing.assert_array_equal(bounds["max"], meshes[mesh["name"]][0].max(axis=0))
        assert document["materials"][primitive["material"]]["name"] == mesh["name"]
    fracture, bone = document["materials"]
    assert [m.get("alphaMode", "OPAQUE") for m in (fracture, bone)] == ["OPAQUE", "BLEND"]
    assert bone["doubleSided"]
    for material, colour in ((fracture, (0.9, 0.08, 0.06, 1.0)), (bone, (0.93, 0.87, 0.76, 0.4))):
        surface = material["pbrMetallicRoughness"]
        np.testing.assert_allclose(surface["baseColorFactor"], colour, atol=0.5 / 255)
        assert (surface["metallicFactor"], surface["roughnessFactor"]) == (0.0, 0.7)


def test_equal_solids_give_equal_files(glb, tmp_path):
    write_meshes(solids(), tmp_path / "again.glb")
    assert (tmp_path / "again.glb").read_bytes() == glb


def test_nothing_to_show_is_no_file(tmp_path):
    scene = make_scene()
    no_bone = dataclasses.replace(scene.spine.labels, array=np.zeros(scene.ct.shape, np.uint8))
    empty = dataclasses.replace(
        scene,
        spine=scene.spine._replace(labels=no_bone),
        probability=np.zeros_like(scene.probability),
    )
    assert not write_meshes(build_solids(empty), tmp_path / "spine.glb")
    assert list(tmp_path.iterdir()) == []
