import json
import struct

import numpy as np
import pytest
from matplotlib import image

from tests.report.scene import SPACING, make_scene
from vfseg.data.geometry import geometry_from
from vfseg.data.volume import Volume
from vfseg.report.gltf import Material, Mesh, write_glb
from vfseg.report.mesh import render_case, write_meshes
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


def solids_of(scene, labels=True, threshold=0.5):
    return build_solids(
        scene.ct,
        scene.probability,
        scene.labels if labels else None,
        scene.vertebrae,
        threshold,
    )


def test_glb_holds_what_was_put_in():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    solid = Mesh(Material("solid", (1, 0, 0, 1)), vertices, vertices, faces)
    glass = Mesh(Material("glass", (1, 1, 1, 0.5)), vertices + 2, vertices, faces[:3])
    document, meshes = parse_glb(write_glb([solid, glass]))
    for mesh in (solid, glass):
        stored = meshes[mesh.material.name]
        for got, put in zip(stored, (mesh.vertices, mesh.normals, mesh.faces)):
            np.testing.assert_array_equal(got, put)
    assert [m.get("alphaMode") for m in document["materials"]] == [None, "BLEND"]
    assert document["accessors"][0]["min"] == [0, 0, 0]
    assert document["accessors"][0]["max"] == [1, 1, 1]
    assert enclosed_volume(*meshes["solid"][::2]) == pytest.approx(1 / 6)


@pytest.mark.parametrize("labels", [True, False])
def test_bone_field_has_the_volume_of_the_bone(labels):
    """From the label map, and from HU >= 200 inside the boxes: the scene's bone is 300 HU."""
    solids = solids_of(make_scene(), labels)
    voxels = 2 * 14 * 25 * 20
    volume = (solids.bone >= 0.5).sum() * solids.spacing**3
    assert volume == pytest.approx(voxels * np.prod(SPACING), rel=0.05)


def test_solids_know_where_they_are():
    scene = make_scene()
    solids = solids_of(scene)
    spacing = np.linalg.norm(solids.affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, solids.spacing)
    for (name, centre), vertebra in zip(solids.levels, scene.vertebrae, strict=True):
        assert name == vertebra.level
        world = solids.affine @ [*centre, 1]
        np.testing.assert_allclose(world, scene.ct.affine @ [*vertebra.centre, 1], atol=1e-9)
        assert solids.bone[tuple(np.rint(centre).astype(int))] == pytest.approx(1.0, abs=1e-3)


def test_a_sheet_of_one_voxel_survives_a_coarser_grid():
    geometry = geometry_from((60, 60, 60), np.diag([0.3, 0.3, 0.3, 1.0]))
    probability = np.zeros((60, 60, 60), np.float32)
    probability[30, 10:50, 10:50] = 0.9
    ct = Volume(np.zeros((60, 60, 60), np.int16), geometry)
    solids = build_solids(ct, probability, None, (), 0.5)
    assert solids.spacing == 0.8  # coarser than the 0.3 mm of the sheet
    along = (solids.fracture >= 0.5).any(axis=0)
    assert along.sum() * solids.spacing**2 == pytest.approx(12.0**2, rel=0.2)


def test_nothing_to_show_is_nothing(tmp_path):
    scene = make_scene()
    empty = np.zeros_like(scene.probability)
    assert build_solids(scene.ct, empty, None, (), 0.5) is None
    no_bone = Volume(np.zeros(scene.ct.shape, np.int16), scene.ct.geometry)
    solids = build_solids(no_bone, empty, None, scene.vertebrae, 0.5)
    assert not write_meshes(solids, tmp_path / "spine.glb")
    assert list(tmp_path.iterdir()) == []


def test_meshes_lie_in_the_world_of_the_ct_and_turn_outwards(tmp_path):
    scene = make_scene()
    assert write_meshes(solids_of(scene), tmp_path / "spine.glb")
    _, meshes = parse_glb((tmp_path / "spine.glb").read_bytes())
    assert list(meshes) == ["predicted fracture", "bone"]  # opaque first
    for name, voxels in (("bone", 2 * 14 * 25 * 20), ("predicted fracture", 2 * 18 * 16)):
        vertices, normals, faces = meshes[name]
        volume = enclosed_volume(vertices, faces) * 1e9  # m3 -> mm3
        assert volume == pytest.approx(voxels * np.prod(SPACING), rel=0.25)
        a, b, c = (vertices[faces[:, corner]] for corner in range(3))
        outward = np.cross(b - a, c - a)
        assert (np.einsum("fi,fi->f", outward, normals[faces[:, 0]]) > 0).mean() > 0.95
    # The sheet: d 36..37, h 30..47, w 10..25; x = -R, y = S, z = A, in metres.
    middle = meshes["predicted fracture"][0]
    middle = (middle.min(axis=0) + middle.max(axis=0)) / 2 * 1000
    np.testing.assert_allclose(middle, [-17.5 * 2.0, 36.5 * 1.5, 38.5 * 1.0], atol=0.8)


def test_picture_shows_ivory_bone_and_a_red_fracture_in_both_views(tmp_path):
    picture = render_case(solids_of(make_scene()), case_id="a$_b$", path=tmp_path / "x" / "s.png")
    assert picture.tall
    pixels = image.imread(picture.path)[..., :3]
    red = (pixels[..., 0] > 0.5) & (pixels[..., 1] < 0.4)
    ivory = pixels.min(axis=-1) > 0.4
    for half in (slice(None, pixels.shape[1] // 2), slice(pixels.shape[1] // 2, None)):
        assert red[:, half].sum() > 100
        assert ivory[:, half].sum() > 500
    # The sheet lies in L1, the upper of the two vertebrae.
    assert np.argwhere(red)[:, 0].max() < np.argwhere(ivory)[:, 0].mean()
