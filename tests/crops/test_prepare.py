"""Crops lie where they say, show what was there, and are cut once."""

import dataclasses
import gzip
import itertools
import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy import ndimage

from vfseg.crops import prepare
from vfseg.crops.prepare import PADDING_HU, PrepareSettings, cut_case, fingerprint_of, prepare_cases
from vfseg.crops.store import CaseArrays, read_record
from vfseg.data.attribution import attribute
from vfseg.data.cases import Case
from vfseg.data.geometry import PLANE_AXES, geometry_from
from vfseg.data.volume import write_ct, write_labels
from vfseg.errors import UserError

SETTINGS = PrepareSettings(voxel_spacing=2.0, crop_shape=(40, 24, 32), vertebra_scheme="verse")
SHAPE, SPACING = (56, 40, 48), (1.5, 2.0, 1.25)  # d h w: 84 x 80 x 60 mm
# Boxes (d, h, w) of L2 (low) and L1 (high) in voxels of the CT: 27 x 40 x 40 mm, 9 mm apart.
BONES = {21: ((4, 10, 8), (22, 30, 40)), 20: ((28, 10, 8), (46, 30, 40))}
OBLIQUE = np.array(  # canonical index -> mm: turned by 10 degrees about the axis to the right
    [
        [0, 0, 1.25, -31],
        [1.5 * -np.sin(np.radians(10)), 2.0 * np.cos(np.radians(10)), 0, 12],
        [1.5 * np.cos(np.radians(10)), 2.0 * np.sin(np.radians(10)), 0, -400],
        [0, 0, 0, 1],
    ]
)


def box(corners):
    return tuple(slice(low, high) for low, high in zip(*corners))


def ramp(affine):
    """HU that tell the place: 3 a mm towards the right, 5 towards the front, 7 upwards."""
    mm = apply_affine(affine, np.stack(np.indices(SHAPE), -1))
    return mm @ [3, 5, 7] + 2500


def write_files(folder, *, fractures=None, boxes=False, ct=None, affine=OBLIQUE):
    """A case of two vertebrae, stored left, front, head (w h d, the first two reversed)."""
    folder.mkdir(parents=True, exist_ok=True)
    to_canonical = np.array(
        [[0, 0, 1, 0], [0, -1, 0, SHAPE[1] - 1], [-1, 0, 0, SHAPE[2] - 1], [0, 0, 0, 1]]
    )  # stored index -> canonical index
    geometry = geometry_from(SHAPE[::-1], affine @ to_canonical)
    np.testing.assert_allclose(geometry.affine, affine, atol=1e-5)
    volume = np.rint(ramp(geometry.affine)).astype(np.int16) if ct is None else ct
    write_ct(folder / "ct.nii.gz", volume, geometry)
    case = Case(folder.name, folder.name, folder / "ct.nii.gz")
    if boxes:
        lines = []
        for label, (low, high) in BONES.items():
            w, h, d = (
                (SHAPE[2] - high[2], SHAPE[2] - low[2]),
                (SHAPE[1] - high[1], SHAPE[1] - low[1]),
                (low[0], high[0]),
            )
            name = {20: "L1", 21: "L2"}[label]
            lines.append(",".join(map(str, (name, *w, *h, *d))))
        (folder / "boxes.csv").write_text("\n".join(lines))
        case = dataclasses.replace(case, boxes=folder / "boxes.csv")
    else:
        labels = np.zeros(SHAPE, np.uint8)
        for label, corners in BONES.items():
            labels[box(corners)] = label
        write_labels(folder / "vertebrae.nii.gz", labels, geometry)
        case = dataclasses.replace(case, vertebrae=folder / "vertebrae.nii.gz")
    if fractures is not None:
        write_labels(folder / "fractures.nii.gz", fractures, geometry)
        case = dataclasses.replace(case, fractures=folder / "fractures.nii.gz")
    return case, geometry


def sheet(label, value=1, dtype=np.uint8):
    """A plate in the upper half of one vertebra, 4.5 mm thick."""
    (low, high) = BONES[label]
    mask = np.zeros(SHAPE, dtype)
    mask[high[0] - 6 : high[0] - 3, low[1] + 2 : high[1] - 2, low[2] + 2 : high[2] - 2] = value
    return mask


def cut(case, settings=SETTINGS):
    return cut_case(case, settings, "f")


def test_crops_are_what_a_naive_reading_gives_at_the_same_millimetres(tmp_path):
    """Every voxel of a crop is looked up in the CT by its own affine, in mm."""
    case, geometry = write_files(tmp_path / "a", fractures=sheet(20) + sheet(21, 2))
    volume = np.rint(ramp(geometry.affine))
    record, arrays = cut(case, dataclasses.replace(SETTINGS, voxel_spacing=1.2))
    assert [crop.level for crop in record.crops] == ["L1", "L2"]
    assert arrays["ct"].dtype == np.int16
    fine = record.crop_shape
    for number, crop in enumerate(record.crops):
        mm = apply_affine(np.array(crop.affine), np.stack(np.indices(fine), -1))
        index = np.moveaxis(apply_affine(np.linalg.inv(geometry.affine), mm), -1, 0)
        # 1.2 mm is finer than any spacing of the CT: plain linear interpolation, no filter.
        linear = ndimage.map_coordinates(
            volume, index, order=1, mode="grid-constant", cval=PADDING_HU
        )
        assert np.abs(arrays["ct"][number] - linear).max() <= 1
        nearest = np.floor(index + 0.5 + 1e-4).astype(int)
        inside = np.all([(i >= 0) & (i < n) for i, n in zip(nearest, SHAPE)], axis=0)
        lookup = (sheet(20) + sheet(21, 2))[tuple(np.where(inside, nearest, 0))] * inside
        np.testing.assert_array_equal(arrays["fractures"][number], lookup)


def test_each_crop_has_its_own_affine_in_mm(tmp_path):
    """The HU ramp tells the place of a voxel; the crop's affine must say the same."""
    case, geometry = write_files(tmp_path / "a")
    record, arrays = cut(case)
    affines = [np.array(crop.affine) for crop in record.crops]
    for crop, affine, values in zip(record.crops, affines, arrays["ct"]):
        np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), 2.0)
        grid = np.stack(np.indices(SETTINGS.crop_shape), -1)
        mm = apply_affine(affine, grid)
        ct_index = apply_affine(np.linalg.inv(geometry.affine), mm)
        well_inside = np.all((ct_index > 2) & (ct_index < np.array(SHAPE) - 3), axis=-1)
        assert well_inside.sum() > 4000
        # Linear resampling, also when it filters, keeps a ramp; the CT and the crop are rounded.
        assert np.abs(values - (mm @ [3, 5, 7] + 2500))[well_inside].max() <= 1.01
        # the first voxel is `start` on the case grid
        case_grid = np.array(crop.start) * 2.0 / np.array(SPACING)
        np.testing.assert_allclose(affine[:3, 3], apply_affine(geometry.affine, case_grid))
    middles = [apply_affine(a, (np.array(SETTINGS.crop_shape) - 1) / 2) for a in affines]
    # Bones are 24 voxels of 1.5 mm apart along d; the grid of 2 mm rounds each to its half.
    assert np.linalg.norm(middles[0] - middles[1]) == pytest.approx(36, abs=2)


def test_what_lies_beyond_the_ct_is_padded_with_air_and_nothing_is_stretched(tmp_path):
    ct = np.full(SHAPE, 40, np.int16)
    case, _ = write_files(tmp_path / "a", ct=ct)
    wide = dataclasses.replace(SETTINGS, crop_shape=(24, 24, 64))  # 128 mm of 60 mm
    record, arrays = cut(case, wide)
    for crop, values in zip(record.crops, arrays["ct"]):
        assert values.shape == (24, 24, 64)
        index = (np.array(crop.start)[:, None] + np.arange(64)) * 2.0 / np.array(SPACING)[:, None]
        w = index[2]
        row = values[12, 12]
        np.testing.assert_array_equal(row[(w >= 1) & (w <= SHAPE[2] - 2)], 40)
        np.testing.assert_array_equal(row[(w < -2) | (w > SHAPE[2] + 1)], PADDING_HU)
        assert (row == PADDING_HU).sum() >= 30  # (128 - 60) / 2 less the rims
    assert arrays["vertebrae"][0].any(axis=(0, 1)).sum() == 20  # 40 mm of bone remain 40 mm


def test_masks_tell_the_own_vertebra_from_its_neighbour(tmp_path):
    case, _ = write_files(tmp_path / "a")
    _, arrays = cut(case)
    upper, lower = arrays["vertebrae"]
    assert set(np.unique(upper)) == set(np.unique(lower)) == {0, 1, 2}
    d = np.arange(SETTINGS.crop_shape[0])[:, None, None]
    assert (d * (upper == 1)).max() > (d * (upper == 2)).max()  # the neighbour is below
    assert (d * (lower == 1)).max() < (d * (lower == 2)).max()
    # L1 is 27 x 40 x 40 mm = 43.2 mL and lies in its crop as a whole; voxels of 8 mm3
    assert (upper == 1).sum() * 0.008 == pytest.approx(43.2, rel=0.15)


def test_organs_are_no_neighbours(tmp_path):
    """In a map of many organs, only the spine takes part in the attribution."""
    case, geometry = write_files(tmp_path / "a")
    labels = np.zeros(SHAPE, np.uint8)
    labels[box(BONES[21])], labels[box(BONES[20])] = 30, 31  # totalsegmentator: L2, L1
    labels[28:46, 32:36, 8:40] = 52  # the aorta
    labels[0:3, 10:30, 8:40] = 25  # the sacrum
    write_labels(case.vertebrae, labels, geometry)
    settings = dataclasses.replace(SETTINGS, vertebra_scheme="totalsegmentator")
    _, arrays = cut(case, settings)
    write_labels(case.vertebrae, np.where(labels == 52, 0, labels).astype(np.uint8), geometry)
    _, without = cut(case, settings)
    np.testing.assert_array_equal(arrays["vertebrae"], without["vertebrae"])
    assert (arrays["vertebrae"][1][:16] == 2).any()  # the sacrum, below L2; L1 begins above


def test_the_neighbours_fracture_is_shown_but_not_attributed(tmp_path):
    """L2 is fractured, and its sheet lies in the crop of L1."""
    case, _ = write_files(tmp_path / "a", fractures=sheet(21))
    record, arrays = cut(case)
    upper, lower = record.crops
    assert (upper.level, lower.level) == ("L1", "L2")
    assert upper.fracture_voxels == 0
    # 3 x 16 x 28 voxels of 1.5 x 2 x 1.25 mm, in voxels of 8 mm3
    assert lower.fracture_voxels == pytest.approx(3 * 16 * 28 * 3.75 / 8, rel=0.4)
    for crop, shown in zip(record.crops, arrays["fractures"]):
        assert shown.any()
        for plane, axis in PLANE_AXES.items():
            slices = [i for i in range(shown.shape[axis]) if np.take(shown, i, axis).any()]
            assert crop.fractured_slices[plane] == slices
    assert lower.fracture_voxels == (arrays["fractures"][1] != 0).sum()


@given(st.data())
@hypothesis_settings(max_examples=60, deadline=None)
def test_attribution_against_a_search_through_all_voxels(data):
    shape = (5, 4, 6)
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    shown = rng.random(shape) < data.draw(st.sampled_from([0.0, 0.02, 0.1]))
    vertebrae = rng.choice(3, shape, p=data.draw(st.sampled_from([(0.9, 0.05, 0.05), (1, 0, 0)])))
    spacing = data.draw(st.sampled_from([0.8, 1.0, 1.25, 2.5]))
    expected = np.zeros(shape, bool)
    for voxel in np.argwhere(shown):
        distance = {
            owner: min(
                (
                    np.sqrt(((voxel - place) ** 2).sum()) * spacing
                    for place in np.argwhere(vertebrae == owner)
                ),
                default=np.inf,
            )
            for owner in (1, 2)
        }
        near = distance[1] <= prepare.ATTRIBUTION_MARGIN_MM
        expected[tuple(voxel)] = near and distance[1] <= distance[2]
    np.testing.assert_array_equal(attribute(shown, vertebrae, spacing), expected)
    np.testing.assert_array_equal(attribute(shown, None, spacing), shown)  # boxes only


def test_instances_keep_their_ids(tmp_path):
    case, _ = write_files(tmp_path / "a", fractures=sheet(20, 3) + sheet(21, 255))
    _, arrays = cut(case)
    assert set(np.unique(arrays["fractures"])) == {0, 3, 255}


def test_ids_above_255_are_numbered_anew_never_wrapped(tmp_path):
    """256 would wrap to 0, and a fracture be gone; 257 to 1, and two be one."""
    fractures = sheet(20, 256, np.uint16) + sheet(21, 1025, np.uint16)
    case, _ = write_files(tmp_path / "a", fractures=fractures)
    record, arrays = cut(case)
    assert set(np.unique(arrays["fractures"])) == {0, 1, 2}
    assert all(crop.fracture_voxels for crop in record.crops)
    own = [np.unique(f[(f != 0) & (v == 1)]).tolist()
           for f, v in zip(arrays["fractures"], arrays["vertebrae"])]  # fmt: skip
    assert own == [[1], [2]]  # in the order of the ids in the file


def test_more_instances_than_can_be_told_apart_are_refused(tmp_path):
    fractures = np.zeros(SHAPE, np.uint16)
    fractures[20:40, 10:30, 10:30] = np.arange(8000).reshape(20, 20, 20)
    case, _ = write_files(tmp_path / "a", fractures=fractures)
    with pytest.raises(UserError, match=r"fractures\.nii\.gz: \d+ fracture instances"):
        cut(case)


def test_boxes_do_where_there_is_no_label_map(tmp_path):
    """Same crops from boxes around the same bones; what the crop shows counts, as none can tell."""
    by_map, _ = cut(write_files(tmp_path / "map", fractures=sheet(21))[0])
    by_box, boxed = cut(write_files(tmp_path / "box", fractures=sheet(21), boxes=True)[0])
    assert [c.level for c in by_box.crops] == ["L1", "L2"]
    for one, other in zip(by_map.crops, by_box.crops):
        assert np.abs(np.subtract(one.start, other.start)).max() <= 1
    assert not boxed["vertebrae"].any()
    shown = [int((f != 0).sum()) for f in boxed["fractures"]]
    assert [crop.fracture_voxels for crop in by_box.crops] == shown
    assert min(shown) > 0


def test_neither_map_nor_boxes_is_an_error(tmp_path):
    case, _ = write_files(tmp_path / "a")
    with pytest.raises(UserError, match="neither a vertebra label map nor a box file"):
        cut(dataclasses.replace(case, vertebrae=None))


def test_a_fracture_mask_of_another_grid_is_refused(tmp_path):
    case, _ = write_files(tmp_path / "a", fractures=sheet(20))
    moved = OBLIQUE.copy()
    moved[0, 3] += 5
    other, _ = write_files(tmp_path / "b", fractures=sheet(20), affine=moved)
    with pytest.raises(UserError, match="does not lie on the grid"):
        cut(dataclasses.replace(case, fractures=other.fractures))


@pytest.fixture
def cohort(tmp_path):
    return [write_files(tmp_path / name, fractures=sheet(20))[0] for name in ("a", "b", "c")]


@pytest.fixture
def cut_ids(monkeypatch):
    """Ids of the cases that are really cut, in any order."""
    seen, genuine = [], prepare.cut_case

    def counted(case, *args):
        seen.append(case.case_id)
        return genuine(case, *args)

    monkeypatch.setattr(prepare, "cut_case", counted)
    return seen


def test_a_second_run_does_nothing_and_a_changed_case_is_redone_alone(tmp_path, cohort, cut_ids):
    store = tmp_path / "store"
    first, left_out = prepare_cases(cohort, SETTINGS, store)
    assert [record.case_id for record in first] == ["a", "b", "c"]
    assert left_out == ()
    assert sorted(cut_ids) == ["a", "b", "c"]
    assert prepare_cases(cohort, SETTINGS, store) == (first, ())
    assert len(cut_ids) == 3
    write_files(tmp_path / "b", fractures=sheet(21))
    second, _ = prepare_cases(cohort, SETTINGS, store)
    assert cut_ids[3:] == ["b"]
    assert (second[0], second[2]) == (first[0], first[2])
    assert [crop.fracture_voxels > 0 for crop in first[1].crops] == [True, False]
    assert [crop.fracture_voxels > 0 for crop in second[1].crops] == [False, True]
    prepare_cases(cohort, dataclasses.replace(SETTINGS, voxel_spacing=3.0), store)
    assert sorted(cut_ids[4:]) == ["a", "b", "c"]


def test_the_split_is_no_reason_to_prepare_again(cohort):
    before = fingerprint_of(cohort[0], SETTINGS)
    assert fingerprint_of(dataclasses.replace(cohort[0], split="test"), SETTINGS) == before
    assert fingerprint_of(dataclasses.replace(cohort[0], patient_id="p"), SETTINGS) != before
    assert fingerprint_of(dataclasses.replace(cohort[0], fractures=None), SETTINGS) != before


def test_of_a_folder_of_masks_those_of_vertebrae_count_with_their_names(tmp_path):
    folder = tmp_path / "classes"
    folder.mkdir()
    (tmp_path / "ct.nii.gz").write_bytes(b"ct")
    case = Case("a", "a", tmp_path / "ct.nii.gz", vertebrae=folder)
    (folder / "vertebrae_L1.nii.gz").write_bytes(b"one")
    seen = [fingerprint_of(case, SETTINGS)]
    (folder / "liver.nii.gz").write_bytes(b"no vertebra")
    assert fingerprint_of(case, SETTINGS) == seen[0]
    (folder / "vertebrae_L1.nii.gz").write_bytes(b"another")
    seen.append(fingerprint_of(case, SETTINGS))
    (folder / "vertebrae_L1.nii.gz").rename(folder / "vertebrae_L2.nii.gz")
    seen.append(fingerprint_of(case, SETTINGS))
    (folder / "vertebrae_L3.nii.gz").write_bytes(b"")
    seen.append(fingerprint_of(case, SETTINGS))
    assert len(set(seen)) == 4


def test_a_folder_of_masks_is_read_as_the_one_map(tmp_path):
    case, geometry = write_files(tmp_path / "a", fractures=sheet(20))
    for label, name in {20: "L1", 21: "L2"}.items():
        mask = np.zeros(SHAPE, np.uint8)
        mask[box(BONES[label])] = 1
        write_labels(tmp_path / "classes" / f"vertebrae_{name}.nii.gz", mask, geometry)
    apart = dataclasses.replace(case, vertebrae=tmp_path / "classes")
    settings = dataclasses.replace(SETTINGS, vertebra_scheme="totalsegmentator")
    record, arrays = cut(apart, settings)
    expected, as_one = cut(case)
    assert [c.start for c in record.crops] == [c.start for c in expected.crops]
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], as_one[name])


def test_an_interrupted_run_continues(tmp_path, cohort, cut_ids, monkeypatch):
    """Stopped while the second case is written: the first stands, and is not cut again."""
    genuine = prepare.write_case

    def stopped(store, record, arrays):
        if record.case_id == "b":
            (store / ".b.1.part" / "ct").mkdir(parents=True)  # what a killed process leaves
            raise KeyboardInterrupt
        genuine(store, record, arrays)

    store = tmp_path / "store"
    monkeypatch.setattr(prepare, "_CASES_AT_ONCE", 1)
    monkeypatch.setattr(prepare, "write_case", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare_cases(cohort[:2], SETTINGS, store)
    assert read_record(store, "a") is not None
    assert read_record(store, "b") is None
    monkeypatch.setattr(prepare, "write_case", genuine)
    records, _ = prepare_cases(cohort, SETTINGS, store)
    assert cut_ids == ["a", "b", "b", "c"]
    assert sorted(path.name for path in store.iterdir()) == ["a", "b", "c"]
    for record in records:
        assert CaseArrays(store, record.case_id).ct.shape == (2, *SETTINGS.crop_shape)


def test_one_bad_case_is_left_out_and_the_others_go_on(tmp_path, cohort):
    store = tmp_path / "store"
    prepare_cases(cohort, SETTINGS, store)
    whole = cohort[1].ct.read_bytes()
    cohort[1].ct.write_bytes(whole[: len(whole) // 2])
    absent = Case("d", "d", tmp_path / "nowhere.nii.gz", vertebrae=cohort[0].vertebrae)
    records, left_out = prepare_cases([*cohort, absent], SETTINGS, store)
    # "b" is in the store as it was before: it is not what the file now says, so it is out
    assert [record.case_id for record in records] == ["a", "c"]
    assert [case.case_id for case in left_out] == ["b", "d"]
    assert "damaged or cut short" in left_out[0].reason
    assert "nowhere.nii.gz" in left_out[1].reason
    cohort[1].ct.write_bytes(whole)
    assert len(prepare_cases(cohort, SETTINGS, store)[0]) == 3


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError("8 EiB"), OSError(5, "disc")])
def test_what_no_check_foresaw_costs_one_case(tmp_path, cohort, monkeypatch, error):
    genuine = prepare.read_ct

    def read_ct(path):
        if path == cohort[1].ct:
            raise error
        return genuine(path)

    monkeypatch.setattr(prepare, "read_ct", read_ct)
    records, left_out = prepare_cases(cohort, SETTINGS, tmp_path / "store")
    assert [record.case_id for record in records] == ["a", "c"]
    (lost,) = left_out
    assert lost == prepare.LeftOut("b", f"{type(error).__name__}: {error}")


def test_nothing_usable_is_an_error_that_names_all(tmp_path, cohort):
    for case in cohort[:2]:
        case.ct.write_bytes(gzip.compress(b"no CT"))
    with pytest.raises(UserError, match="no case can be used") as error:
        prepare_cases(cohort[:2], SETTINGS, tmp_path / "store")
    assert all(str(case.ct) in str(error.value) for case in cohort[:2])


def test_a_store_that_cannot_be_written_ends_the_run(tmp_path, cohort):
    """Not a matter of one case: to go on would only read every CT in vain."""
    (tmp_path / "store").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        prepare_cases(cohort, SETTINGS, tmp_path / "store")


def test_cases_are_read_side_by_side_but_not_all_at_once(tmp_path, cohort, monkeypatch):
    """Two threads meet in `cut_case`; a third is never there."""
    inside, most = itertools.count(), []
    present, lock, meeting = set(), threading.Lock(), threading.Barrier(2)
    genuine = prepare.cut_case

    def watched(case, *args):
        with lock:
            present.add(case.case_id)
            most.append(len(present))
        if next(inside) < 2:
            meeting.wait(timeout=30)  # breaks if the second never comes
        found = genuine(case, *args)
        with lock:
            present.discard(case.case_id)
        return found

    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(prepare, "_CASES_AT_ONCE", 2)
    monkeypatch.setattr(prepare, "cut_case", watched)
    prepare_cases(cohort, SETTINGS, tmp_path / "store")
    assert max(most) == 2
