import dataclasses
import json
import struct

import numpy as np
import pytest

from tests.report.scene import SPACING, make_scene
from vfseg.drawing.figures import REFERENCE
from vfseg.report.mesh import STL_FILES, write_meshes, write_stl_files
from vfseg.report.solids import build_solids

TRUTH = "true fracture (synthetic)"


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
    sheet = 2 * 18 * 16
    assert list(meshes) == ["predicted fracture", TRUTH, "bone"]  # opaque first
    for name, voxels in (("bone", 2 * 14 * 25 * 20), ("predicted fracture", sheet), (TRUTH, sheet)):
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
    """Nodes by name, bounds of the positions, red opaque, the others translucent with two sides."""
    document, meshes = parse_glb(glb)
    names = list(meshes)
    assert document["asset"]["version"] == "2.0"
    assert document["asset"]["copyright"] == "Research use only."
    nodes = [document["nodes"][index] for index in document["scenes"][document["scene"]]["nodes"]]
    assert [(node["name"], node["mesh"]) for node in nodes] == list(zip(names, (0, 1, 2)))
    for mesh in document["meshes"]:
        (primitive,) = mesh["primitives"]
        bounds = document["accessors"][primitive["attributes"]["POSITION"]]
        np.testing.assert_array_equal(bounds["min"], meshes[mesh["name"]][0].min(axis=0))
        np.testing.assert_array_equal(bounds["max"], meshes[mesh["name"]][0].max(axis=0))
        assert document["materials"][primitive["material"]]["name"] == mesh["name"]
    fracture, truth, bone = document["materials"]
    modes = [material.get("alphaMode", "OPAQUE") for material in (fracture, truth, bone)]
    assert modes == ["OPAQUE", "BLEND", "BLEND"]
    assert [bone["doubleSided"], truth["doubleSided"]] == [True, True]
    turquoise = [int(REFERENCE[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    for material, colour in (
        (fracture, (0.9, 0.08, 0.06, 1.0)),
        (truth, (*turquoise, 0.55)),
        (bone, (0.93, 0.87, 0.76, 0.4)),
    ):
        surface = material["pbrMetallicRoughness"]
        *shown, opacity = surface["baseColorFactor"]  # shares of light, in steps of 1 / 255
        assert opacity == pytest.approx(colour[3], abs=0.5 / 255)
        # The curve from the values of a screen to light: IEC 61966-2-1.
        light = np.array(colour[:3])
        light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
        np.testing.assert_allclose(shown, light, atol=0.5 / 255)
        assert (surface["metallicFactor"], surface["roughnessFactor"]) == (0.0, 0.7)


@pytest.mark.parametrize(
    ("synthetic", "name"), [(True, "true fracture (synthetic)"), (False, "true fracture")]
)
def test_the_truth_is_called_synthetic_where_it_is(tmp_path, synthetic, name):
    scene = make_scene()
    reference = dataclasses.replace(scene.reference, synthetic=synthetic)
    write_meshes(build_solids(dataclasses.replace(scene, reference=reference)), tmp_path / "a.glb")
    document, _ = parse_glb((tmp_path / "a.glb").read_bytes())
    assert [node["name"] for node in document["nodes"] if "true" in node["name"]] == [name]


def test_without_a_reference_there_is_no_truth(tmp_path):
    plain = build_solids(dataclasses.replace(make_scene(), reference=None))
    names = [path.name for path in write_stl_files(plain, tmp_path)]
    assert sorted(names) == ["spine-bone.stl", "spine-fracture.stl"]


def parse_stl(content):
    """Header, unit normals and corners "faces 3 3" of a binary STL file."""
    (count,) = struct.unpack_from("<I", content, 80)
    assert len(content) == 84 + 50 * count
    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    faces = np.frombuffer(content, record, count, 84)
    return content[:80], faces["normal"], faces["corners"].astype(float)


@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_an_stl_file_has_the_extent_of_its_part_in_world_mm(tmp_path, degrees):
    """Of the label map, of the mask and of the truth, on a straight and on an oblique CT."""
    scene = dataclasses.replace(make_scene(degrees), threshold=0.7)
    written = write_stl_files(build_solids(scene), tmp_path)
    assert {path.name for path in written} == set(STL_FILES.values())
    masks = {
        "spine-bone.stl": scene.spine.labels.array > 0,
        "spine-fracture.stl": scene.probability >= 0.7,
        "spine-truth.stl": scene.reference.instances > 0,
    }
    turned = scene.ct.affine[:3, :3] / np.linalg.norm(scene.ct.affine[:3, :3], axis=0)
    for path in written:
        header, normals, corners = parse_stl(path.read_bytes())
        assert header.rstrip() == b"vfseg, mm. Research use only. SPACE=RAS"
        assert not header.startswith(b"solid")  # which readers take for text
        index = np.argwhere(masks[path.name])
        edges = np.array([index.min(axis=0) - 0.5, index.max(axis=0) + 0.5])
        # Along the axes of the CT, in mm, from where its world begins.
        wanted = edges * SPACING + turned.T @ scene.ct.affine[:3, 3]
        along = corners.reshape(-1, 3) @ turned
        np.testing.assert_allclose([along.min(axis=0), along.max(axis=0)], wanted, atol=0.8)
        outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        volume = np.einsum("fi,fi->", corners[:, 0], outward) / 6
        assert volume == pytest.approx(len(index) * np.prod(SPACING), rel=0.25)
        assert (np.einsum("fi,fi->f", outward, normals) >= 0).all()


def test_equal_solids_give_equal_files(glb, tmp_path):
    write_meshes(solids(), tmp_path / "again.glb")
    assert (tmp_path / "again.glb").read_bytes() == glb
    first = [path.read_bytes() for path in write_stl_files(solids(), tmp_path)]
    assert [path.read_bytes() for path in write_stl_files(solids(), tmp_path)] == first


def test_nothing_to_show_is_no_file(tmp_path):
    scene = make_scene()
    no_bone = dataclasses.replace(scene.spine.labels, array=np.zeros(scene.ct.shape, np.uint8))
    empty = dataclasses.replace(
        scene,
        spine=scene.spine._replace(labels=no_bone),
        probability=np.zeros_like(scene.probability),
        reference=None,
    )
    assert write_stl_files(build_solids(empty), tmp_path) == []
    assert not write_meshes(build_solids(empty), tmp_path / "spine.glb")
    assert list(tmp_path.iterdir()) == []
