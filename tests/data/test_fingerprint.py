"""What a fingerprint depends on."""

from tests.crops.two_vertebrae import SETTINGS
from vfseg.crops.prepare import fingerprint_of
from vfseg.data.cases import Case


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
