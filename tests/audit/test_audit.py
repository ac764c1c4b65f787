import dataclasses
import gzip

import numpy as np
import pytest
from nibabel.affines import apply_affine

from vfseg.audit import Audit, audit_cases, audit_text
from vfseg.audit import case as examination
from vfseg.audit.cohort import prevalence
from vfseg.audit.hounsfield import check_hounsfield
from vfseg.audit.lesions import sheet_thickness
from vfseg.audit.parents import find_block
from vfseg.audit.tables import prevalence_table, spacing_table
from vfseg.crops.prepare import PrepareSettings
from vfseg.crops.windows import WindowSettings
from vfseg.data.cases import Case, check_manifest, read_manifest, write_manifest
from vfseg.data.discovery import find_cases
from vfseg.data.volume import geometry_from, read_geometry, write_ct, write_labels
from vfseg.synthesis.phantom import make_cohort

SETTINGS = PrepareSettings(voxel_spacing=2.0, crop_shape=(32, 32, 32))
SHAPE = (60, 40, 40)  # d h w, 2 mm: 120 x 80 x 80 mm
STEP = 16  # between the middles of neighbours: 32 mm
LEVELS = {"L1": 20, "L2": 21, "L3": 22}  # VerSe
MIDDLES = {"L1": 46, "L2": 30, "L3": 14}
AFFINE = np.array([[2.0, 0, 0, -40], [0, 2, 0, -60], [0, 0, 2, 300], [0, 0, 0, 1]])


def bodies(ids=LEVELS):
    labels = np.zeros(SHAPE, np.uint8)
    for level, label in ids.items():
        at = MIDDLES[level]
        labels[at - 6 : at + 6, 10:30, 10:30] = label  # 24 x 40 x 40 mm: 38.4 mL
    return labels


def image(seed, labels=None):
    """Soft tissue in air, with bright bodies, and noise that makes every CT its own."""
    rng = np.random.default_rng(seed)
    labels = bodies() if labels is None else labels
    ct = np.full(SHAPE, 40.0)
    ct[:, :4], ct[:, -4:] = -1000, -1000
    ct[labels > 0] = 250
    return np.rint(ct + rng.normal(0, 15, SHAPE)).astype(np.int16)


def sheet(level="L2", value=1):
    """A fracture sheet of 2 x 12 x 12 voxels in the middle of a body: 2.3 mL, 4 mm thick."""
    mask = np.zeros(SHAPE, np.uint8)
    at = MIDDLES[level]
    mask[at - 1 : at + 1, 14:26, 14:26] = value
    return mask


def write_case(
    folder, name, *, seed=0, ct=None, labels=None, fractures=None, affine=AFFINE, stored="xyz",
    patient=None, split="train", label_affine=None, boxes=None,
):  # fmt: skip
    """Writes a case as RAS, or with the first two axes exchanged, and gives its row."""
    folder = folder / name
    ct = image(seed) if ct is None else ct
    labels = bodies() if labels is None else labels
    fractures = sheet() if fractures is None else fractures

    def geometry(of):
        d, h, w = ct.shape
        if stored == "xyz":
            return geometry_from((w, h, d), of)
        return geometry_from((h, w, d), of[:, [1, 0, 2, 3]])

    write_ct(folder / "ct.nii.gz", ct, geometry(affine))
    write_labels(
        folder / "v.nii.gz", labels, geometry(affine if label_affine is None else label_affine)
    )
    write_labels(folder / "f.nii.gz", fractures, geometry(affine))
    if boxes:
        (folder / "boxes.csv").write_text("\n".join(boxes))
    return Case(
        name,
        patient or name,
        folder / "ct.nii.gz",
        folder / "v.nii.gz",
        boxes=folder / "boxes.csv" if boxes else None,
        fractures=folder / "f.nii.gz",
        split=split,
    )


def audit(*cases, settings=SETTINGS, windows=None) -> Audit:
    return audit_cases(cases, settings, progress=False, windows=windows)


def found(result, kind, severity=None):
    """The only finding of a kind."""
    (finding,) = [f for f in result.findings if f.kind == kind]
    assert severity in (None, finding.severity)
    return finding


def kinds(result, *severities):
    return {f.kind for f in result.findings if f.severity in severities}


def test_a_sound_set_has_no_error_and_no_warning(tmp_path):
    splits = ("train", "validation", "test")
    fractures = sheet("L1") + sheet("L2", 2) + sheet("L3", 3)
    cases = [
        write_case(tmp_path, split, seed=seed, split=split, fractures=fractures)
        for seed, split in enumerate(splits)
    ]
    result = audit(*cases)
    assert not kinds(result, "error", "warning")
    assert result.usable == splits
    facts = result.cases[0]
    assert (facts.shape, facts.voxel_spacing, facts.orientation) == (SHAPE, (2, 2, 2), "RAS")
    assert [v.level for v in facts.vertebrae] == ["L1", "L2", "L3"]
    assert facts.lesions is not None
    for number, lesion in enumerate(facts.lesions, 1):
        assert (lesion.number, lesion.voxels, lesion.components) == (number, 288, 1)
        assert lesion.volume_ml == pytest.approx(288 * 0.008)
        assert lesion.thickness_mm == pytest.approx(4, rel=0.1)  # its rim is shallower
        assert lesion.owners == ((f"L{number}", 288),)
        assert lesion.outside_share == lesion.uncropped_share == 0


# The eight mistakes of the field notes, as far as data can show them.


def test_mistake_1_reversed_levels(tmp_path):
    reversed_ids = bodies({"L1": 22, "L2": 21, "L3": 20})
    case = write_case(tmp_path, "a", labels=reversed_ids)
    result = audit(case, write_case(tmp_path, "b", seed=1))
    assert found(result, "scheme", "error").case_id == "a"
    assert result.usable == ("b",)
    named = dataclasses.replace(SETTINGS, vertebra_scheme="verse")
    assert "reversed" in found(audit(case, settings=named), "scheme", "error").message


def test_mistake_1_reversed_boxes_beside_a_label_map(tmp_path):
    def box(name, level):
        return f"{name},10,30,10,30,{MIDDLES[level] - 6},{MIDDLES[level] + 6}"

    right = write_case(tmp_path, "a", boxes=[box(level, level) for level in LEVELS])
    assert "boxes" not in kinds(audit(right), "error")
    wrong = write_case(tmp_path, "b", boxes=[box("L1", "L3"), box("L2", "L2"), box("L3", "L1")])
    assert "L1, L3" in found(audit(wrong), "boxes", "error").message


@pytest.mark.parametrize("stored", ["xyz", "yxz"])
def test_mistake_2_crop_with_the_affine_of_its_ct(tmp_path, stored):
    whole, labels = image(3), bodies()
    crop = (slice(20, 40), slice(6, 36), slice(6, 36))
    parts = {"labels": labels[crop], "fractures": sheet()[crop]}
    parent = write_case(tmp_path, "parent", ct=whole, patient="p", stored=stored)
    wrong = write_case(tmp_path, "crop", ct=whole[crop], patient="p", stored=stored, **parts)
    finding = found(audit(parent, wrong), "crop_affine", "error")
    assert finding.case_id == "crop"
    distance = 2 * np.linalg.norm([20, 6, 6])
    assert f"{distance:.0f} mm" in finding.message
    assert "(6, 6, 20)" in finding.message

    moved = AFFINE.copy()
    moved[:3, 3] = apply_affine(AFFINE, [6, 6, 20])
    right = write_case(
        tmp_path, "right", ct=whole[crop], patient="p", affine=moved, stored=stored, **parts
    )
    assert "crop_affine" not in kinds(audit(parent, right), "error", "warning")


def test_mistake_2_crops_without_their_ct_claim_one_place(tmp_path):
    whole, labels = image(3), bodies()
    cases = []
    for level in ("L1", "L3"):
        crop = slice(MIDDLES[level] - 10, MIDDLES[level] + 10)
        cases.append(
            write_case(
                tmp_path,
                level,
                ct=whole[crop],
                labels=labels[crop],
                fractures=sheet()[crop],
                patient="p",
            )
        )
    result = audit(*cases, settings=dataclasses.replace(SETTINGS, vertebra_scheme="verse"))
    assert "L1 there lie 0.0 mm apart" in found(result, "crop_affine", "error").message


def test_a_part_with_its_own_affine_is_a_double(tmp_path):
    whole = image(3)
    parent = write_case(tmp_path, "parent", ct=whole, patient="p")
    part = slice(0, 40)
    parts = {"labels": bodies()[part], "fractures": sheet()[part]}
    case = write_case(tmp_path, "part", ct=whole[part], patient="p", split="test", **parts)
    assert "across splits" in found(audit(parent, case), "duplicate", "error").message


def test_mistake_3_a_fracture_of_the_neighbour_in_the_box(tmp_path):
    labels = bodies()
    labels[34:41, 30:34, 18:22] = LEVELS["L1"]  # a process of L1 reaches down beside L2's box
    fractures = sheet("L2")
    fractures[34:36] = fractures[30]  # on top of L2's body, inside L1's box
    result = audit(write_case(tmp_path, "a", labels=labels, fractures=fractures))
    one, two, three = result.cases[0].vertebrae
    assert (one.by_mask, two.by_mask, three.by_mask) == (False, True, False)
    assert (one.by_box, two.by_box, three.by_box) == (True, True, False)
    assert prevalence(result.cases) == (3, 1, 2)
    message = found(result, "attribution", "note").message
    assert "1 of 3 vertebrae (33%)" in message
    assert "2 (67%)" in message
    assert ("L1", "0 of 1 (box: 1)", "0 of 1 (box: 1)") in prevalence_table(result.cases)[1]


def test_mistake_3_boxes_alone_are_warned_of(tmp_path):
    box = [f"{level},10,30,10,30,{at - 6},{at + 6}" for level, at in MIDDLES.items()]
    case = write_case(tmp_path, "a", boxes=box)
    result = audit(dataclasses.replace(case, vertebrae=None))
    assert found(result, "boxes_only", "warning")
    assert result.usable == ("a",)


def test_mistake_4_a_level_without_a_fracture_in_the_test_split(tmp_path):
    cases = [
        write_case(tmp_path, "a", seed=1, fractures=sheet("L1") + sheet("L2", 2)),
        write_case(tmp_path, "b", seed=2, split="test"),
    ]
    finding = found(audit(*cases), "level_without_fracture", "warning")
    assert finding.split == "test"
    assert "2 levels: L1 (of 1), L3 (of 1)" in finding.message
    assert "L2" not in finding.message


def test_mistake_8_what_a_window_sees(tmp_path):
    case = write_case(tmp_path, "a")
    windows = WindowSettings(("sagittal",), 5, 0.5, 4, 4, 0.5)
    fine = PrepareSettings(voxel_spacing=0.5, crop_shape=(96, 96, 96))
    result = audit(case, settings=fine, windows=windows)
    assert "5 sagittal slices, 0.5 mm apart, see ±1 mm" in result.windows
    assert "±1 mm" in found(result, "window_reach", "warning").message
    assert found(result, "thick_slices", "warning")  # its own are 2 mm apart
    assert spacing_table(result)[1][0][-1] == "2.0"  # 2 * 1 mm / 2 mm + 1
    wide = dataclasses.replace(windows, stride_mm=2.0)
    assert not kinds(audit(case, windows=wide), "warning") & {"window_reach", "thick_slices"}


# Files.


def test_damaged_files_are_listed_and_the_others_go_on(tmp_path):
    cases = [write_case(tmp_path, name, seed=i) for i, name in enumerate("abcd")]
    raw = cases[0].ct.read_bytes()
    cases[0].ct.write_bytes(raw[: len(raw) // 2])
    cases[1].fractures.write_bytes(b"no nifti")
    cases[2].vertebrae.write_bytes(gzip.compress(b"no nifti"))
    result = audit(*cases)
    errors = {f.case_id: f for f in result.findings if f.kind == "file"}
    assert set(errors) == {"a", "b", "c"}
    for case_id, name in zip("abc", ("ct", "f", "v")):
        assert f"{name}.nii.gz" in errors[case_id].message
    assert result.usable == ("d",)
    assert [v.level for v in result.cases[0].vertebrae] == ["L1", "L2", "L3"]  # still looked at


def test_an_error_that_no_check_foresaw_is_one_of_its_case(tmp_path, monkeypatch):
    cases = [write_case(tmp_path, name, seed=i) for i, name in enumerate("ab")]
    genuine = examination.read_ct

    def read_ct(path):
        if path == cases[0].ct:
            raise MemoryError("8 EiB")
        return genuine(path)

    monkeypatch.setattr(examination, "read_ct", read_ct)
    result = audit(*cases)
    assert found(result, "file", "error").message == "MemoryError: 8 EiB"
    assert result.usable == ("b",)


def test_lines_that_the_manifest_left_out_are_listed(tmp_path):
    case = write_case(tmp_path, "a", patient="p")
    other = write_case(tmp_path, "b", seed=1, patient="p", split="test")
    write_manifest(tmp_path / "manifest.csv", [case, other])
    cases, problems = check_manifest(tmp_path / "manifest.csv")
    result = audit_cases(cases, SETTINGS, progress=False, left_out=problems)
    assert "'p' is in 'test'" in found(result, "left_out", "error").message
    assert result.usable == ("a",)


def test_remarks_on_the_data_set_are_notes(tmp_path):
    """No case is lost by them, and by the last one is."""
    for name in ("anna", "bob"):
        write_case(tmp_path, name, seed=len(name))
    (tmp_path / "odd_mask.nii.gz").touch()
    for name in ("cut_1", "cut_2"):
        (tmp_path / "bob" / f"{name}.csv").write_text("level,x0,x1,y0,y1,z0,z1")
    for name in ("anna", "bob"):
        (tmp_path / name / "v.nii.gz").rename(tmp_path / name / "vertebrae.nii.gz")
        (tmp_path / name / "f.nii.gz").rename(tmp_path / name / "fractures.nii.gz")
    cases, notes = find_cases(tmp_path)
    assert [case.case_id for case in cases] == ["anna"]
    result = audit_cases(cases, SETTINGS, progress=False, left_out=notes)
    assert "several files for its boxes" in found(result, "left_out", "error").message
    assert "odd_mask" in found(result, "data_set", "note").message
    assert kinds(result, "error") == {"left_out"}


def test_grades_are_compared_with_the_mask(tmp_path):
    case = write_case(tmp_path, "a", fractures=sheet("L1") + sheet("L2", 2))
    table = tmp_path / "grades.csv"
    case = dataclasses.replace(case, grades=table)
    table.write_text("case_id,vertebra,grade\na,L1,0\na,L2,1\na,L3,2\na,T12,3\nb,L2,0\n")
    odd = {f.level: f for f in audit(case).findings if f.kind == "grade"}
    assert {f.severity for f in odd.values()} == {"warning"}
    assert set(odd) == {"L1", "L3"}  # T12 is not in the CT
    assert "grade 0, but 288 voxels" in odd["L1"].message  # 2 x 12 x 12
    assert "grade 2, but no voxel" in odd["L3"].message
    table.write_text("vertebra,grade\nL1,3\nL2,\nL3,0\n")
    assert "grade" not in kinds(audit(case), "error", "warning", "note")


def test_grades_that_cannot_be_read_are_an_error(tmp_path):
    case = dataclasses.replace(write_case(tmp_path, "a"), grades=tmp_path / "grades.csv")
    case.grades.write_text("vertebra,grade\nL1,4\n")
    finding = found(audit(case), "grades", "error")
    assert finding.case_id == "a"
    assert str(case.grades) in finding.message


def test_a_folder_with_a_mask_for_each_vertebra_is_read(tmp_path):
    case = write_case(tmp_path, "a")
    geometry, labels = read_geometry(case.vertebrae), bodies()
    for level, label in LEVELS.items():
        mask = (labels == label).astype(np.uint8)
        write_labels(tmp_path / "classes" / f"vertebrae_{level}.nii.gz", mask, geometry)
    result = audit(dataclasses.replace(case, vertebrae=tmp_path / "classes"))
    assert result.usable == ("a",)
    assert [v.level for v in result.cases[0].vertebrae] == ["L1", "L2", "L3"]


def test_a_shifted_label_map_is_named_with_its_distance(tmp_path):
    moved = AFFINE.copy()
    moved[:3, 3] += (3, 0, 4)
    result = audit(write_case(tmp_path, "a", label_affine=moved))
    finding = found(result, "geometry", "error")
    assert "5 mm apart" in finding.message
    assert finding.place is not None
    assert finding.place.index == SHAPE[2] // 2
    assert not result.usable


@pytest.mark.parametrize("line", ["L1,30,10,10,30,40,52", "L1,10,30,10,30,40,99"])
def test_boxes_inverted_or_outside_the_volume(tmp_path, line):
    result = audit(write_case(tmp_path, "a", boxes=[line]))
    assert "line 1" in found(result, "boxes", "error").message


# Levels.


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("level_missing", {21: 0}),
        ("level_extra", {22: 25}),
        ("fragment", {22: 0}),
    ],
)
def test_odd_levels(tmp_path, kind, change):
    labels = bodies()
    for label, other in change.items():
        labels[labels == label] = other
    if kind == "fragment":
        labels[12:16, 18:22, 18:22] = 22
    if kind == "level_extra":
        labels[labels == 21], labels[labels == 20] = 24, 23
    named = dataclasses.replace(SETTINGS, vertebra_scheme="verse")
    fractures = np.where(labels[:, :, :] == labels[MIDDLES["L1"], 20, 20], sheet("L1"), 0)
    case = write_case(tmp_path, "a", labels=labels, fractures=fractures.astype(np.uint8))
    assert found(audit(case, settings=named), kind, "warning").case_id == "a"


def test_labels_off_the_bone(tmp_path):
    result = audit(write_case(tmp_path, "a", ct=image(0, np.roll(bodies(), 20, axis=1))))
    assert "not_bone" in kinds(result, "warning")


# Fracture masks.


def test_a_fracture_outside_every_vertebra(tmp_path):
    between = np.zeros(SHAPE, np.uint8)
    between[36:40, 14:26, 14:26] = 1  # L2 ends at 35, L1 begins at 40: the outer layers are near
    beyond = np.roll(sheet(value=2), 20, axis=1)  # at 34 and more, bodies end at 29
    result = audit(write_case(tmp_path, "a", fractures=between + beyond))
    first, second = result.cases[0].lesions
    assert (first.outside_share, second.outside_share) == (0.5, 1.0)
    assert dict(first.owners) == {"L1": 144, "L2": 144}
    assert "instance 1 belongs" in found(result, "two_vertebrae", "warning").message
    outside = {f.severity: f.message for f in result.findings if f.kind == "outside_vertebra"}
    assert "instance 1 has 50%" in outside["warning"]
    assert "instance 2 has 100%" in outside["error"]


def test_small_empty_and_gapped_masks(tmp_path):
    dots = sheet()
    dots[MIDDLES["L1"], 20, 20] = 4
    dots[MIDDLES["L3"], 20, 20] = 7
    stray = sheet()
    stray[MIDDLES["L2"] + 4, 15, 15] = 1
    stray += sheet("L1", 2)
    cases = [
        write_case(tmp_path, "dots", seed=1, fractures=dots),
        write_case(tmp_path, "empty", seed=2, fractures=np.zeros(SHAPE, np.uint8)),
        write_case(tmp_path, "stray", seed=3, fractures=stray),
        write_case(tmp_path, "many", seed=4, fractures=sheet().astype(np.uint16) * 300),
    ]
    result = audit(*cases)
    tiny = found(result, "tiny_lesion", "warning")
    assert tiny.case_id == "dots"
    assert tiny.message.startswith("2 of 3 lesions")
    assert tiny.place.point == (MIDDLES["L1"], 20, 20)
    assert found(result, "empty_mask", "note").case_id == "empty"
    gaps = [f for f in result.findings if f.kind == "mask_gaps"]
    assert [f.case_id for f in gaps] == ["dots", "many"]
    assert "no 2, 3, 5, 6" in gaps[0].message
    assert found(result, "stray_voxels", "note").case_id == "stray"
    assert found(result, "mask_values", "error").case_id == "many"


def test_components_of_a_binary_mask_are_its_lesions(tmp_path):
    result = audit(write_case(tmp_path, "a", fractures=sheet("L1") + sheet("L3")))
    owners = [lesion.owners[0][0] for lesion in result.cases[0].lesions]
    assert sorted(owners) == ["L1", "L3"]


def test_a_mask_of_whole_vertebrae_and_one_that_crops_miss(tmp_path):
    whole = (bodies() == LEVELS["L2"]).astype(np.uint8)
    result = audit(write_case(tmp_path, "a", fractures=whole))
    assert "38.4 mL" in found(result, "whole_vertebra", "warning").message
    small = dataclasses.replace(SETTINGS, crop_shape=(32, 32, 6))  # of 12 voxels across
    result = audit(write_case(tmp_path, "b"), settings=small)
    assert "50% of its voxels" in found(result, "outside_crops", "warning").message


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_thickness_of_a_wide_sheet(layers):
    mask = np.ones((layers, 100, 100), bool)
    assert sheet_thickness(mask, np.array([0.7, 0.5, 0.5])) == pytest.approx(0.7 * layers, rel=0.06)


# Intensities.


def histogram(values):
    return np.bincount(np.clip(values.ravel(), -32768, 32767).astype(int) + 32768, minlength=65536)


@pytest.mark.parametrize(
    ("change", "severity", "words"),
    [
        (lambda hu: (np.clip(hu, -200, 600) + 200) * 255 // 800, "error", "8-bit"),
        (lambda hu: hu + 1100, "error", "all values are positive"),
        (lambda hu: -hu, "error", "inverted"),
        (lambda hu: hu // 10, "error", "too few"),
        (lambda hu: hu // 2, "warning", "peak of air lies at -5"),
        (lambda hu: np.clip(hu, -150, 32767), "warning", "clipped at -150 below"),
        (lambda hu: np.minimum(hu, 100), "warning", "clipped at 100 above"),
        (lambda hu: hu * 20, "error", "slope"),
    ],
)
def test_what_cannot_be_hounsfield_units(change, severity, words):
    findings = list(check_hounsfield(histogram(change(image(0).astype(int)))))
    assert any(s == severity and words in message for s, _, message in findings), findings


def test_padding_is_noted_and_hides_nothing():
    hu = image(0).astype(int)
    assert list(check_hounsfield(histogram(hu))) == []
    padded = hu.copy()
    padded[:5] = -2048
    assert [f[:2] for f in check_hounsfield(histogram(padded))] == [("note", "padding")]
    shifted = np.where(padded == -2048, -2048, hu + 1100)
    assert [f[0] for f in check_hounsfield(histogram(shifted))] == ["note", "error"]


def test_a_ct_of_the_wrong_intensity_is_found_on_disk(tmp_path):
    result = audit(write_case(tmp_path, "a", ct=(-image(0))))
    assert "inverted" in found(result, "hounsfield", "error").message


# Doubles, leaks, splits.


def test_doubles_are_found_under_other_headers(tmp_path):
    other = AFFINE.copy()
    other[:3, 3] += 50
    cases = [
        write_case(tmp_path, "a", seed=1),
        write_case(tmp_path, "turned", seed=1, stored="yxz", affine=other, split="test"),
        write_case(tmp_path, "offset", ct=image(1) + np.int16(20), patient="a"),
        write_case(tmp_path, "own", seed=2),
    ]
    doubles = {f.case_id: f for f in audit(*cases).findings if f.kind == "duplicate"}
    assert set(doubles) == {"turned", "offset"}
    assert doubles["turned"].severity == "error"
    assert "headers differ" in doubles["turned"].message
    assert "across splits" in doubles["turned"].message
    assert doubles["offset"].severity == "warning"  # one patient, one split


def test_leaks_double_ids_and_splits(tmp_path):
    cases = [
        write_case(tmp_path, "a", seed=1, patient="p"),
        write_case(tmp_path, "b", seed=2, patient="p", split="test"),
        write_case(tmp_path, "c", seed=3, split=""),
    ]
    cases.append(dataclasses.replace(cases[2], case_id="C"))
    result = audit(*cases)
    assert "a (train), b (test)" in found(result, "leak", "error").message
    assert found(result, "case_id", "error").case_id == "c"
    about = {(f.severity, f.split) for f in result.findings if f.kind == "split"}
    assert about == {("note", ""), ("warning", "validation")}


def test_no_fracture_to_learn_from(tmp_path):
    empty = np.zeros(SHAPE, np.uint8)
    case = write_case(tmp_path, "a", fractures=empty)
    errors = [f for f in audit(case).findings if f.kind == "no_fracture"]
    assert [(f.severity, f.split) for f in errors] == [("error", "train")]
    result = audit(dataclasses.replace(case, fractures=None))
    assert found(result, "no_reference", "warning")


def test_a_block_is_found_where_it_is_and_nowhere_else():
    rng = np.random.default_rng(0)
    array = np.asfortranarray(rng.integers(0, 9, (9, 8, 7), dtype=np.int16))
    for start in ((0, 0, 0), (6, 5, 4), (2, 0, 3)):
        block = array[tuple(slice(at, at + 3) for at in start)]
        assert tuple(find_block(array, block)) == start
    assert find_block(array, block + np.int16(9)) is None
    assert find_block(array[:2], block) is None


# The whole.


def test_the_phantom_has_no_error(tmp_path):
    settings = {"train": 2, "validation": 1, "test": 1, "fracture_probability": 0.7, "seed": 1}
    manifest = make_cohort(tmp_path, {**settings, "levels_per_case": (3, 3)}, progress=False)
    phantom = PrepareSettings(voxel_spacing=1.25, crop_shape=(48, 48, 48))
    result = audit_cases(read_manifest(manifest), phantom, progress=False)
    assert not [f for f in result.findings if f.severity == "error"]
    assert len(result.usable) == 4
    assert sum(len(case.lesions or ()) for case in result.cases) > 0


def test_the_text_says_everything_and_nothing_is_changed(tmp_path):
    cases = [
        write_case(tmp_path, "a", seed=1, patient="p"),
        write_case(tmp_path, "b", seed=2, patient="p", split="test"),
    ]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = audit(*cases, windows=WindowSettings(("sagittal",), 5, 2.0, 4, 4, 0.5))
    text = audit_text(result)
    severities = [f.severity for f in result.findings]
    order = ["error", "warning", "note"]
    assert severities == sorted(severities, key=order.index)
    for finding in result.findings:
        assert finding.kind in text
    assert "patient p is in test and train" in text
    assert "level  train" in text
    assert "see ±4 mm" in text
    assert text.splitlines()[-1].startswith("2 cases, 2 of them usable: 1 error, ")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
