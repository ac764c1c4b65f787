"""Header fields that say one thing twice."""

import gzip
import logging

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.audit.data_set import audit, write_case
from tests.data.nifti_files import SHAPE, save, save_raw, stored_affine, values
from vfseg.data.contradictions import mend_quaternion
from vfseg.data.volume import read_geometry, read_labels, write_labels
from vfseg.errors import UserError

AFFINE = stored_affine("LPS", spacing=(0.8, 0.9, 2.5))


def with_header(path, **fields):
    """A file with both forms alike, then with these fields of its header changed."""
    image = nib.Nifti1Image(values(), AFFINE)
    image.header.set_sform(AFFINE, 1)
    image.header.set_qform(AFFINE, 1)
    image.header.set_xyzt_units("mm")
    plain = path.with_name("plain.nii")
    nib.save(image, plain)
    return save_raw(path, plain, **fields)


def test_what_agrees_is_not_remarked_on(tmp_path):
    assert read_geometry(with_header(tmp_path / "ct.nii.gz")).remarks == ()
    assert read_geometry(with_header(tmp_path / "ct.nii.gz", xyzt_units=0)).remarks == ()
    # A tenth of the smallest side of a voxel: 0.08 mm.
    nearly = with_header(tmp_path / "ct.nii.gz", qoffset_x=AFFINE[0, 3] + 0.07)
    assert read_geometry(nearly).remarks == ()


def test_two_forms_apart_are_told_in_mm_at_the_corners(tmp_path):
    moved = with_header(tmp_path / "ct.nii.gz", qoffset_x=AFFINE[0, 3] + 3, qoffset_z=404)
    (remark,) = read_geometry(moved).remarks
    assert remark == "sform and qform put corners up to 5 mm apart; the sform counts"
    np.testing.assert_allclose(read_geometry(moved).stored_affine, AFFINE, atol=1e-5)


def test_a_form_without_a_code_says_nothing(tmp_path):
    moved = with_header(tmp_path / "ct.nii.gz", qoffset_x=500, qform_code=0)
    assert read_geometry(moved).remarks == ()


def test_another_spacing_in_pixdim(tmp_path):
    path = with_header(tmp_path / "ct.nii.gz", pixdim=[1, 0.8, 0.9, 5, 0, 0, 0, 0], qform_code=0)
    (remark,) = read_geometry(path).remarks
    longer = (SHAPE[2] - 1) * 2.5
    assert "voxels of 0.8 x 0.9 x 5 mm by pixdim, of 0.8 x 0.9 x 2.5 mm by the sform" in remark
    assert f"differ by up to {longer:.3g} mm" in remark


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "is metres by xyzt_units, so that voxels would be 800 x 900 x 2500 mm"),
        (3, "is micrometres by xyzt_units, so that voxels would be 0.0008 x 0.0009 x 0.0025 mm"),
        (5, "is unknown (5) by xyzt_units; mm are assumed"),
    ],
)
def test_another_unit(code, words, tmp_path):
    (remark,) = read_geometry(with_header(tmp_path / "ct.nii.gz", xyzt_units=code)).remarks
    assert words in remark
    seconds = read_geometry(with_header(tmp_path / "ct.nii.gz", xyzt_units=2 + 8)).remarks
    assert seconds == ()


def _quaternion(places):
    """Half a turn about an oblique axis: the scalar part is 0, and rounding makes it imaginary."""
    axis = np.array([0.36, 0.48, 0.8])
    return dict(zip(("quatern_b", "quatern_c", "quatern_d"), np.ceil(axis * 10**places + 0.5)
                    / 10**places))  # fmt: skip


@pytest.mark.parametrize("places", [4, 5, 6])
def test_a_quaternion_off_by_rounding_is_a_rotation(places, tmp_path):
    path = with_header(tmp_path / "ct.nii.gz", sform_code=0, **_quaternion(places))
    geometry = read_geometry(path)
    assert geometry.remarks == ()
    wanted = Rotation.from_rotvec(np.pi * np.array([0.36, 0.48, 0.8])).as_matrix()
    found = geometry.stored_affine[:3, :3] / np.linalg.norm(geometry.stored_affine[:3, :3], axis=0)
    # qfac of this file is -1 or 1: the third axis may be mirrored.
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), atol=10.0 ** (1 - places))
    write_labels(tmp_path / "m.nii.gz", np.zeros(geometry.shape, np.uint8), geometry)
    np.testing.assert_allclose(nib.load(tmp_path / "m.nii.gz").affine, geometry.stored_affine)
    assert read_labels(tmp_path / "m.nii.gz").shape == geometry.shape


def test_a_quaternion_that_is_none_is_refused_where_it_counts(tmp_path):
    wrong = {"quatern_b": 0.9, "quatern_c": 0.9, "quatern_d": 0.0}
    with pytest.raises(UserError, match="no valid affine"):
        read_geometry(with_header(tmp_path / "ct.nii.gz", sform_code=0, **wrong))
    geometry = read_geometry(with_header(tmp_path / "ct.nii.gz", **wrong))
    assert geometry.remarks == ("the qform is no rotation; the sform counts",)


def test_a_quaternion_that_is_short_enough_is_left_alone():
    header = nib.Nifti1Header()
    header["quatern_b"], header["quatern_c"] = 0.6, 0.8
    before = header.copy()
    mend_quaternion(header)
    for name in ("quatern_b", "quatern_c", "quatern_d"):
        np.testing.assert_allclose(header[name], before[name], rtol=1e-6)


def test_the_audit_tells_it_of_every_file(tmp_path):
    case = write_case(tmp_path, "a")
    assert not [f for f in audit(case).findings if f.kind == "header"]
    for path in (case.ct, case.vertebrae, case.fractures):
        data = bytearray(gzip.decompress(path.read_bytes()))
        header = nib.Nifti1Header(bytes(data[:348]), check=False)
        header["qoffset_y"] += 7
        data[:348] = header.binaryblock
        path.write_bytes(gzip.compress(bytes(data)))
    found = [f for f in audit(case).findings if f.kind == "header"]
    assert [f.severity for f in found] == ["warning"] * 3
    for finding, path in zip(found, (case.ct, case.vertebrae, case.fractures)):
        assert finding.message.startswith(f"{path.name}: sform and qform put corners up to 7 mm")


def test_save_makes_such_files_too(tmp_path):
    """What nibabel writes from one affine agrees with itself."""
    assert read_geometry(save(tmp_path / "a.nii", values(), AFFINE)).remarks == ()


def test_nothing_is_said_of_what_nibabel_mends(tmp_path, caplog):
    """A handedness of 0, as many programs write it, counts as 1."""
    path = with_header(tmp_path / "ct.nii.gz", pixdim=[0, 0.8, 0.9, 2.5, 1, 1, 1, 1])
    logger = nib.imageglobals.logger
    with caplog.at_level(logging.DEBUG, logger=logger.name):
        nib.load(path)
        assert "qfac" in caplog.text, "what there is to be said"
        caplog.clear()
        np.testing.assert_allclose(read_geometry(path).stored_affine, AFFINE, rtol=1e-6)
    assert caplog.text == ""
