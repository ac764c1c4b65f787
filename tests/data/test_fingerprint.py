"""What a fingerprint depends on."""

from vfseg.data.cases import Case
from vfseg.data.fingerprint import case_fingerprint


def test_of_a_folder_of_masks_those_of_vertebrae_count_with_their_names(tmp_path):
    folder = tmp_path / "classes"
    folder.mkdir()
    (tmp_path / "ct.nii.gz").write_bytes(b"ct")
    case = Case("a", "a", tmp_path / "ct.nii.gz", vertebrae=folder)
    (folder / "vertebrae_L1.nii.gz").write_bytes(b"one")
    seen = [case_fingerprint(case, {})]
    (folder / "liver.nii.gz").write_bytes(b"no vertebra")
    assert case_fingerprint(case, {}) == seen[0]
    (folder / "vertebrae_L1.nii.gz").write_bytes(b"another")
    seen.append(case_fingerprint(case, {}))
    (folder / "vertebrae_L1.nii.gz").rename(folder / "vertebrae_L2.nii.gz")
    seen.append(case_fingerprint(case, {}))
    (folder / "vertebrae_L3.nii.gz").write_bytes(b"")
    seen.append(case_fingerprint(case, {}))
    assert len(set(seen)) == 4


def test_every_file_of_a_case_counts(tmp_path):
    names = ("ct", "vertebrae", "boxes", "fractures", "grades")
    paths = {name: tmp_path / f"{name}.bin" for name in names}
    for path in paths.values():
        path.write_bytes(b"before")
    case = Case("a", "a", **paths)
    seen = [case_fingerprint(case, {})]
    for path in paths.values():
        path.write_bytes(b"after")
        seen.append(case_fingerprint(case, {}))
    assert len(set(seen)) == len(names) + 1


def test_a_case_without_grades_has_another_fingerprint_than_one_with_them(tmp_path):
    (tmp_path / "ct").write_bytes(b"")
    without = Case("a", "a", tmp_path / "ct")
    assert case_fingerprint(without, {}) != case_fingerprint(
        Case("a", "a", tmp_path / "ct", grades=tmp_path / "ct"), {}
    )
