"""Results as DICOM: where they lie, what they refer to, and that they are DICOM."""

import dataclasses
import re
import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from tests.report import dicom_case as made
from vfseg.data import outputs
from vfseg.data.box import bounding_box
from vfseg.data.spine import Spine
from vfseg.data.volume import read_labels, write_boxed_labels
from vfseg.errors import UserError
from vfseg.evaluation.sentences import answer_of
from vfseg.report.dicom_maps import Maker, Numbered, Segment, lesion_segmentation
from vfseg.report.dicom_out import write_dicom
from vfseg.report.dicom_source import open_source

pytest.importorskip("highdicom", reason="needs the extra dicom")

_OBLIQUE = np.linalg.qr([[0.9, 0.2, -0.3], [-0.1, 0.95, 0.2], [0.4, -0.3, 0.85]])[0]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The source series, what was found in it, and the files of its results by name."""
    folder = tmp_path_factory.mktemp("dicom")
    source = open_source(made.write_series(folder / "series"))
    found, numbers = made.make_found(source.geometry)
    listed = made.make_findings(numbers)
    write_dicom(source, found, listed, made.MAKER, folder / "out")
    files = {name: pydicom.dcmread(folder / "out" / name) for name in outputs.DICOM_FILES}
    return source, found, listed, files


@pytest.mark.parametrize("axes", [*made.SIGNED_AXES, _OBLIQUE], ids=str)
def test_a_segment_lies_where_the_nifti_files_have_it(tmp_path, axes):
    """The series has two of the axes, the label map all three, left-handed ones included."""
    lps = axes * (-1, -1, 1)
    source = open_source(made.write_series(tmp_path / "series", lps[0], lps[1]))
    labels = made.stored_along(axes, made.make_labels(source.geometry), tmp_path / "labels.nii")
    array = read_labels(labels).array
    box = bounding_box(array)
    numbers = np.where(array == 20, 1, 2 * (array == 21)).astype(np.uint16)[box]
    lesions = tmp_path / "lesions.nii"
    write_boxed_labels(lesions, numbers, box, source.geometry)
    segments = [Segment(name, None, pydicom.uid.generate_uid()) for name in ("1", "2")]
    data = lesion_segmentation(source, Numbered(numbers, box, segments), made.MAKER)
    for segment, label in ((1, 20), (2, 21)):
        places, _ = made.voxels(data, segment)
        for path, value in ((lesions, segment), (labels, label)):
            wanted = made.centroid_of_nifti(path, value)
            np.testing.assert_allclose(places.mean(axis=0), wanted, atol=0.05)


def test_labels_are_said_to_be_whose_they_are(written, tmp_path):
    source, found, listed, files = written
    outlined = dataclasses.replace(found, spine=found.spine._replace(outlined=True))
    write_dicom(source, outlined, listed, made.MAKER, tmp_path)
    own = pydicom.dcmread(tmp_path / outputs.DICOM_VERTEBRAE)
    for data, kind, name in (
        (files[outputs.DICOM_VERTEBRAE], "SEMIAUTOMATIC", "label map given with the CT"),
        (own, "AUTOMATIC", "vfseg, outlines"),
    ):
        for segment in data.SegmentSequence:
            assert segment.SegmentAlgorithmType == kind
            assert segment.SegmentAlgorithmName == name


def test_the_map_has_the_voxels_and_the_steps_of_the_nifti_file(written):
    source, found, _, files = written
    data = files[outputs.DICOM_MAP]
    places, codes = made.voxels(data)
    values = found.probability[:, :, :]
    index = np.argwhere(values > 0)
    affine = source.geometry.affine
    expected = index @ affine[:3, :3].T + affine[:3, 3]
    order, other = (np.lexsort(np.round(array, 2).T) for array in (places, expected))
    np.testing.assert_allclose(places[order], expected[other], atol=0.01)
    (mapping,) = data.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    probability = codes * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
    np.testing.assert_allclose(probability[order], values[values > 0][other], rtol=1e-6)


def test_segments_are_named_and_numbered_as_in_the_lists(written):
    _, _, listed, files = written
    names = [s.SegmentLabel for s in files[outputs.DICOM_VERTEBRAE].SegmentSequence]
    assert names == [row["level"] for row in listed.vertebrae]
    names = [s.SegmentLabel for s in files[outputs.DICOM_LESIONS].SegmentSequence]
    assert names == [f"lesion {row['lesion']}" for row in listed.lesions]


def test_every_file_refers_to_the_source_series_and_lies_in_its_frame_of_reference(written):
    source, _, _, files = written
    slices = {image.SOPInstanceUID for image in source.images}
    (series,) = {image.SeriesInstanceUID for image in source.images}
    (study,) = {image.StudyInstanceUID for image in source.images}
    own = {data.SOPInstanceUID for data in files.values()}
    for data in files.values():
        assert data.StudyInstanceUID == study
        referred = _values(data, "ReferencedSOPInstanceUID")
        assert referred & slices
        assert referred <= slices | own
        assert series in _values(data, "SeriesInstanceUID")
        if data.Modality != "SR":
            assert data.FrameOfReferenceUID == source.images[0].FrameOfReferenceUID
    report = _values(files[outputs.DICOM_REPORT], "ReferencedSOPInstanceUID")
    assert slices <= report
    segmentations = (outputs.DICOM_LESIONS, outputs.DICOM_VERTEBRAE)
    assert {files[name].SOPInstanceUID for name in segmentations} <= report


def _values(data, keyword):
    return {element.value for element in data.iterall() if element.keyword == keyword}


def test_of_the_patient_there_is_what_dicom_demands_and_no_more(written):
    *_, files = written
    for data in files.values():
        for tag, value in made.PATIENT.items():
            assert str(data[tag].value) == value, tag
        text = str(data)
        assert not [value for value in made.SECRET.values() if value in text]
        about = {e.keyword for e in data if e.tag.group == 0x0010}
        assert about == {"PatientName", "PatientID", "PatientBirthDate", "PatientSex"}


def test_the_report_has_the_figures_and_answers_of_the_lists(written):
    _, _, listed, files = written
    report = files[outputs.DICOM_REPORT]
    (template,) = report.ContentTemplateSequence
    assert template.TemplateIdentifier == "1500"
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    groups = _groups(report)
    assert set(groups) == {"L1", "L2", "lesion 1", "lesion 2"}
    for row in listed.vertebrae:
        group = groups[row["level"]]
        assert group["verdict"] == answer_of(row)
        assert group["Probability"] == pytest.approx(row["probability"], abs=1e-6)
        assert group["volume of map"] == pytest.approx(row["map_ml"], abs=1e-6)
        assert ("anterior height" in group) == (row["height_anterior_mm"] is not None)
    broken = groups["L1"]
    assert [broken[f"{site} height"] for site in ("anterior", "middle", "posterior")] == [
        17.25,
        15.5,
        25.0,
    ]
    assert broken["middle loss"] == pytest.approx(39)
    assert broken["Genant grade"] == broken["lowest Genant grade"] == "Genant 2"
    assert broken["highest Genant grade"] == "Genant 3"
    assert broken["Finding Site"] == "L1 vertebra"
    assert groups["lesion 1"]["Volume"] == pytest.approx(1.728)
    assert groups["lesion 1"]["Finding Site"] == "L1 vertebra"
    assert groups["lesion 2"]["Finding Site"] == "Spine"


def _groups(report):
    """What each group of measurements of a report says, by the name that it is tracked under."""
    groups = {}
    for item in report.iterall():
        if item.keyword != "ContentSequence":
            continue
        said = {}
        for part in item.value:
            (name,) = part.get("ConceptNameCodeSequence", [None])[:1] or [None]
            if part.ValueType == "NUM":
                said[name.CodeMeaning] = float(part.MeasuredValueSequence[0].NumericValue)
            elif part.ValueType == "CODE":
                said[name.CodeMeaning] = part.ConceptCodeSequence[0].CodeMeaning
            elif part.ValueType == "TEXT":
                said[name.CodeMeaning] = part.TextValue
        if "Tracking Identifier" in said:
            groups[said["Tracking Identifier"]] = said
    return groups


def test_without_a_label_map_and_a_lesion_there_is_only_what_there_is(tmp_path):
    source = open_source(made.write_series(tmp_path / "series"))
    found, numbers = made.make_found(source.geometry)
    listed = made.make_findings(0 * numbers)._replace(lesions=[])
    empty = type(found.probability)(source.geometry.shape, found.probability.box)
    boxes = Spine(found.spine.vertebrae, None, (), ())
    nothing = type(found)(found.ct, boxes, empty, None, 0.0, 1)
    write_dicom(source, nothing, listed, made.MAKER, tmp_path / "out")
    there = [name for name in outputs.DICOM_FILES if (tmp_path / "out" / name).exists()]
    assert there == [outputs.DICOM_REPORT]
    assert set(_groups(pydicom.dcmread(tmp_path / "out" / there[0]))) == {"L1", "L2"}


def test_a_single_lesion_is_a_segment_like_others(tmp_path):
    source = open_source(made.write_series(tmp_path / "series"))
    found, numbers = made.make_found(source.geometry)
    listed = made.make_findings(np.where(numbers == 1, 1, 0).astype(np.uint16))
    listed = listed._replace(lesions=listed.lesions[:1])
    write_dicom(source, found, listed, made.MAKER, tmp_path / "out")
    data = pydicom.dcmread(tmp_path / "out" / outputs.DICOM_LESIONS)
    places, _ = made.voxels(data, 1)
    index = np.argwhere(numbers == 1) + [side.start for side in found.probability.box]
    affine = source.geometry.affine
    expected = affine[:3, :3] @ index.mean(axis=0) + affine[:3, 3]
    np.testing.assert_allclose(places.mean(axis=0), expected, atol=0.01)
    report = pydicom.dcmread(tmp_path / "out" / outputs.DICOM_REPORT)
    assert set(_groups(report)) == {"L1", "L2", "lesion 1"}


def test_an_independent_checker_finds_no_error(written, tmp_path):
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy, of Debian's dicom3tools")
    *_, files = written
    for name, data in files.items():
        path = tmp_path / name.replace("/", "-")
        data.save_as(path)
        said = subprocess.run(["dciodvfy", path], capture_output=True, text=True, timeout=60).stderr
        assert re.search(r"^(Segmentation|ParametricMap|ComprehensiveSR)$", said, re.M), said
        assert not [line for line in said.splitlines() if line.startswith("Error")], (name, said)


@pytest.mark.parametrize(
    ("tags", "complaint"),
    [
        ({"StudyInstanceUID": None}, "no StudyInstanceUID"),
        ({"FrameOfReferenceUID": None}, "no FrameOfReferenceUID"),
        ({"StudyInstanceUID": "1.2.three"}, "StudyInstanceUID '1.2.three'"),
        ({"SOPInstanceUID": "1.2.3"}, "slices with one SOPInstanceUID"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_series_that_nothing_can_refer_to_is_refused(tmp_path, tags, complaint):
    folder = made.write_series(tmp_path / "series", **tags)
    with pytest.raises(UserError, match=re.escape(complaint)):
        open_source(folder)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_tag_that_dicom_does_not_allow_is_left_empty_and_named(tmp_path, caplog):
    wrong = {"PatientBirthDate": "1940", "PatientSex": "W", "StudyTime": "noon"}
    wrong["AccessionNumber"] = "A\\B"  # a backslash parts values, of which this tag has one
    source = open_source(made.write_series(tmp_path / "series", **wrong))
    assert {source.images[0][tag].value for tag in wrong} <= {"", None}
    assert str(source.images[0].PatientID) == "42"
    assert all(f"{tag} is not what DICOM allows" in caplog.text for tag in wrong)


def test_a_large_ensemble_is_named_as_far_as_there_is_room():
    """A value of the representation LO has at most 64 characters."""
    few, many = (Maker("1", tuple(range(1000, 1000 + n)), ()) for n in (2, 20))
    assert few.model == "model step 1000, 1001"
    assert many.model.startswith("model step 1000, 1001, 1002")
    assert len(many.model) == 64


def test_warnings_stand_in_whole_words_where_there_is_little_room():
    """62 characters of two remarks without details; a third does not fit and is not cut in two."""
    remarks = (
        "trained on the user's fractures",
        "outside the range of training: slices 5 mm apart",
    )
    assert Maker("1", (1,), remarks).described == (
        "trained on the user's fractures; outside the range of training"
    )
    longer = Maker("1", (1,), (*remarks, "and more")).described
    assert longer == "trained on the user's fractures; outside the range of ..."
