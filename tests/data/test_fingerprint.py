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
