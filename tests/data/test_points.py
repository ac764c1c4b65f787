"""Points in vertebral bodies: both files, in every orientation of the CT, and what is refused."""

import json
import re

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from vfseg.data.anatomy import read_vertebrae
from vfseg.data.body_sizes import BODY_MM
from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.data.points import BOX_MARGIN_MM, vertebrae_from_points
from vfseg.data.settings import SpineReading
from vfseg.data.spine import read_spine
from vfseg.data.volume import read_geometry, read_labels
from vfseg.errors import UserError

SPACING = (2.0, 1.0, 4.0)  # of the stored axes
SHAPE = (60, 120, 50)
PLACES = {"L1": (10.0, -5.0, 40.0), "L2": (10.0, -5.0, 5.0), "L3": (10.0, -5.0, -30.0)}  # mm


def geometry(axcodes="RAS"):
    """A grid around (0, 0, 0) mm, stored along any axes."""
    ornt = nib.orientations.axcodes2ornt(axcodes)
    affine = np.eye(4)
    for stored, (ras, sign) in enumerate(ornt):
        affine[:3, stored] = 0
        affine[int(ras), stored] = sign * SPACING[stored]
        affine[int(ras), 3] = -sign * SPACING[stored] * (SHAPE[stored] - 1) / 2
    return geometry_from(SHAPE, affine)


def csv_file(folder, places=PLACES, header="level,x,y,z"):
    path = folder / "points.csv"
    lines = [f"{level},{','.join(map(str, place))}" for level, place in places.items()]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def json_file(folder, grid, axcodes, places=PLACES, name="sub-x_ctd.json", **header):
    """The same points as VerSe has them: voxel indices on the grid, seen along any axes."""
    ids = {level: number for number, level in enumerate(("L1", "L2", "L3"), 20)}
    to_index = np.linalg.inv(grid.stored_affine)
    stored = nib.orientations.io_orientation(grid.stored_affine)
    change = nib.orientations.ornt_transform(stored, nib.orientations.axcodes2ornt(axcodes))
    entries = [{"direction": list(axcodes), **header}]
    for level, place in places.items():
        index = apply_affine(to_index, place)
        seen = [0.0] * 3
        for axis, (to, sign) in enumerate(change):
            size = grid.stored_shape[axis]
            seen[int(to)] = float(index[axis] if sign > 0 else size - 1 - index[axis])
        entries.append({"label": ids[level], **dict(zip("XYZ", seen))})
    path = folder / name
    path.write_text(json.dumps(entries))
    return path


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "PIR", "SRA"])
def test_both_files_say_the_same_whatever_the_orientation_of_the_ct(tmp_path, axcodes):
    grid = geometry(axcodes)
    found, notes = vertebrae_from_points(csv_file(tmp_path), grid)
    assert [v.level for v in found] == ["L1", "L2", "L3"]
    assert notes == ()
    for vertebra, place in zip(found, PLACES.values()):
        np.testing.assert_allclose(apply_affine(grid.affine, vertebra.centre), place, atol=1e-5)
    for seen in ("PIR", "LAS"):
        again, _ = vertebrae_from_points(json_file(tmp_path, grid, seen), grid)
        for one, other in zip(found, again, strict=True):
            assert one.level == other.level
            np.testing.assert_allclose(one.centre, other.centre, atol=1e-5)


# PIR: the grid's 1 mm of 120 voxels to the front, 4 mm of 50 upwards, 2 mm of 60 to the right.
@pytest.mark.parametrize(
    "header",
    [
        {"zoom": [1.0, 4.0, 2.0], "shape": [120, 50, 60]},
        {"zoom": [1.004, 3.996, 2.0], "shape": [120.4, 49.6, 60.0]},  # rounded
        {"zoom": None, "shape": None, "origin": [0, 0, 0]},
    ],
)
def test_what_a_file_says_of_the_grid_of_the_ct_is_agreed_to(tmp_path, header):
    for axcodes in ("RAS", "LPS"):  # the same spacings, stored in two ways
        grid = geometry(axcodes)
        found, _ = vertebrae_from_points(json_file(tmp_path, grid, "PIR", **header), grid)
        assert [v.level for v in found] == ["L1", "L2", "L3"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"zoom": [1, 1, 1]}, "1 x 1 x 1 mm a voxel, the CT has 1 x 4 x 2"),
        ({"zoom": [2.0, 1.0, 4.0]}, "2 x 1 x 4 mm a voxel, the CT has 1 x 4 x 2"),
        ({"zoom": [1, 4, float("nan")]}, "1 x 4 x nan mm a voxel"),
        ({"shape": [120, 200, 60]}, "120 x 200 x 60 voxels, the CT has 120 x 50 x 60"),
        ({"shape": [120, 50, 61], "zoom": [1, 4, 2]}, "120 x 50 x 61 voxels"),
        ({"zoom": [1, 4]}, "not a file of centroids"),
        ({"shape": "large"}, "not a file of centroids"),
        ({"shape": 5}, "not a file of centroids"),
    ],
)
def test_points_of_another_grid_are_refused(tmp_path, header, said):
    grid = geometry()
    with pytest.raises(UserError, match=re.escape(said)):
        vertebrae_from_points(json_file(tmp_path, grid, "PIR", **header), grid)


def test_isotropic_points_of_verse_are_of_a_ct_of_1_mm(tmp_path):
    name = "verse004_CT-sag_iso-ctd.json"
    path = json_file(tmp_path, geometry(), "PIR", name=name)
    with pytest.raises(UserError, match=r"iso-ctd\.json: .* 1 x 1 x 1 mm a voxel, .* 1 x 4 x 2"):
        vertebrae_from_points(path, geometry())
    even = geometry_from((120, 120, 120), np.diag([1.0, 1, 1, 1]))
    places = {"L1": (60.0, 60.0, 90.0), "L2": (60.0, 60.0, 55.0)}
    found, _ = vertebrae_from_points(json_file(tmp_path, even, "PIR", places, name), even)
    assert [v.level for v in found] == ["L1", "L2"]


def test_a_box_holds_a_body_of_usual_size_and_a_margin(tmp_path):
    """Of a straight spine the box is the body's: height, depth, width along d, h, w."""
    grid = geometry()
    (_, vertebra, _), _ = vertebrae_from_points(csv_file(tmp_path), grid)
    wanted = np.array(BODY_MM["L2"]) + 2 * np.array(BOX_MARGIN_MM)
    size = (np.array(vertebra.stop) - vertebra.start) * grid.voxel_spacing
    assert (np.abs(size - wanted) <= grid.voxel_spacing).all()
    middle = (np.array(vertebra.start) + vertebra.stop - 1) / 2
    assert (np.abs(middle - vertebra.centre) <= 1).all()
    assert vertebra.flags == ()


def test_a_box_turns_with_the_line_through_the_neighbours(tmp_path):
    """A body that leans forward by 30 degrees reaches further up and to the front.

    Half of its box is h/2 cos 30 + d/2 sin 30 high, and h/2 sin 30 + d/2 cos 30 deep.
    """
    grid, lean = geometry(), np.radians(30)
    along = 35 * np.array([0.0, np.sin(lean), np.cos(lean)])
    places = {level: tuple(k * along) for level, k in (("L1", 1), ("L2", 0), ("L3", -1))}
    (_, vertebra, _), _ = vertebrae_from_points(csv_file(tmp_path, places), grid)
    height, depth, width = BODY_MM["L2"]
    wanted = np.array([
        height * np.cos(lean) + depth * np.sin(lean),
        height * np.sin(lean) + depth * np.cos(lean),
        width,
    ]) + 2 * np.array(BOX_MARGIN_MM)  # fmt: skip
    size = (np.array(vertebra.stop) - vertebra.start) * grid.voxel_spacing
    assert (np.abs(size - wanted) <= grid.voxel_spacing).all()


def test_a_body_at_the_edge_is_cut_and_says_so(tmp_path):
    grid = geometry()
    top = grid.shape[0] * SPACING[2] / 2
    found, _ = vertebrae_from_points(csv_file(tmp_path, PLACES | {"L1": (0, 0, top - 5)}), grid)
    assert [v.flags for v in found] == [("cut",), (), ()]
    assert found[0].stop[0] == grid.shape[0]


def test_names_that_the_file_calls_uncertain_are_flagged(tmp_path):
    path = tmp_path / "points.csv"
    rows = "L1,0,0,40,0.9,uncertain\nL2,0,0,5,0.9,\nL3,0,0,-30\n"
    path.write_text("level,x,y,z,confidence,flags\n" + rows)
    found, notes = vertebrae_from_points(path, geometry())
    assert [v.flags for v in found] == [("uncertain",), (), ()]
    assert notes == ("points.csv: calls the names of L1 uncertain",)


def test_what_is_no_level_of_t4_to_l5_is_left_out_and_named(tmp_path):
    _, notes = vertebrae_from_points(csv_file(tmp_path, PLACES | {"L6": (0, 0, -60)}), geometry())
    assert notes == ("points.csv: L6 left out: not among T4 to L5",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("level,x,y\nL1,1,2\n", "the first line is 'level,x,y'"),
        ("L1,1,2,3\n", "the first line is"),
        ("level,x,y,z\nL9,1,2,3\n", "line 2: no vertebra 'L9'"),
        ("level,x,y,z\nL1,1,2\n", "line 2: ['1', '2', ''] are not three numbers of mm"),
        ("level,x,y,z\nL1,1,2,nan\n", "are not three numbers of mm"),
        ("level,x,y,z\nL1,1,2,3\nL1,1,2,3\n", "a second point of L1"),
        ("level,x,y,z\nL2,1,2,30\nL1,1,2,3\n", "L1 lies below L2"),
        ("level,x,y,z\nL1,1,2,3000\n", "L1 lies outside the CT, at (1, 2, 3000) mm"),
        ("level,x,y,z\nC7,1,2,3\n", "no point of T4 to L5"),
        ("", "the first line is ''"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused(tmp_path, text, said):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(said)):
        vertebrae_from_points(path, geometry())


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "[1, 2]", '[{"direction": ["P", "I", "X"]}]', '{"20": [1, 2, 3]}'),
        *('[{"direction": ["P", "I", "A"]}]', '[{"direction": ["P", "I"]}]'),
        '[{"direction": ["P", "I", "R"]}, {"label": 20, "X": 1, "Y": 2}]',
        '[{"direction": ["P", "I", "R"]}, {"label": [], "X": 1, "Y": 2, "Z": 3}]',
    ],
)
def test_json_of_another_form_is_refused(tmp_path, text):
    path = tmp_path / "x_ctd.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"x_ctd\.json: not a file of centroids .*_ctd\.json, or a"):
        vertebrae_from_points(path, geometry())


def test_a_file_that_is_not_there_is_named(tmp_path):
    for name in ("no.csv", "no_ctd.json"):
        with pytest.raises(UserError, match=name):
            vertebrae_from_points(tmp_path / name, geometry())


def test_a_spine_of_points_says_that_it_has_no_mask(tmp_path):
    case = Case("a", "a", tmp_path / "ct.nii", points=csv_file(tmp_path))
    spine = read_spine(case, geometry(), SpineReading())
    assert spine.labels is None
    assert [v.level for v in spine.vertebrae] == ["L1", "L2", "L3"]
    assert "points only" in spine.notes[0]


@pytest.mark.parametrize(
    ("points", "labels"),
    [
        ("verse014/sub-verse014_seg-vb_ctd.json", "verse014/sub-verse014_seg-vert_msk.nii.gz"),
        (
            "graded-masks/sub-sample001_seg-subreg_ctd.json",
            "graded-masks/sub-sample001_seg-vert_msk.nii.gz",
        ),
        (
            "graded-masks/sub-verse010_seg-subreg_ctd.json",
            "graded-masks/sub-verse010_seg-vert_msk.nii.gz",
        ),
    ],
)
def test_published_centroids_lie_in_the_bodies_of_their_label_maps(real_ct_root, points, labels):
    """Within 5 mm of the middles that are found by the masks, and within the masks."""
    path = real_ct_root / labels
    found, _ = vertebrae_from_points(real_ct_root / points, read_geometry(path))
    volume = read_labels(path)
    by_mask = {v.level: v for v in read_vertebrae(volume, "verse", str(path)).vertebrae}
    assert [v.level for v in found] == list(by_mask)
    for vertebra in found:
        masked = by_mask[vertebra.level]
        away = (vertebra.centre - masked.centre) * volume.voxel_spacing
        assert np.linalg.norm(away) < 5
        assert volume.array[tuple(np.rint(vertebra.centre).astype(int))] == masked.label
