"""A CT series with two vertebrae and two lesions, and what a reader makes of DICOM results."""

import itertools

import nibabel as nib
import numpy as np
from pydicom.uid import generate_uid

from tests.data.dicom_series import lps_to_ras, make_slices, save
from tests.report.listed import make_lists
from vfseg.data.levels import Vertebra
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.evaluation.findings import Findings
from vfseg.inference.boxed_map import BoxedMap
from vfseg.inference.case import Prediction
from vfseg.report.dicom_maps import Maker

PATIENT = {
    **{"PatientName": "Yamada^Tarou=山田^太郎", "PatientID": "42", "PatientBirthDate": "19400229"},
    **{"PatientSex": "F", "StudyDate": "20260102", "StudyTime": "030405", "StudyID": "7"},
    **{"AccessionNumber": "A8", "ReferringPhysicianName": "Who^Doctor"},
}
SECRET = {
    **{"PatientAddress": "Nowhere 1", "PatientAge": "086Y", "InstitutionName": "Hospital"},
    **{
        "OperatorsName": "Some^One",
        "StudyDescription": "spine of whom",
        "PatientComments": "a remark",
    },
}
MAKER = Maker("1.0", (100,), ("trained on synthetic fractures",))
SIGNED_AXES = [
    np.array(signs)[:, None] * np.eye(3)[list(order)]
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
"""All 48: rows are the directions of the axes of a file."""


def write_series(folder, rows=(1, 0, 0), columns=(0, 1, 0), **tags):
    """A series of 8 slices of 10 x 9 pixels, with directions in LPS."""
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = np.array(rows) * 0.7, np.array(columns) * 0.9
    lps[:3, 2], lps[:3, 3] = np.cross(rows, columns) * 2.5, (-30.25, 12.5, 400.125)
    known = {"StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid()}
    known |= {"SpecificCharacterSet": "ISO_IR 192", **PATIENT, **SECRET, **tags}
    array = np.zeros((9, 10, 8), np.int16)
    known = {tag: value for tag, value in known.items() if value is not None}
    return save(make_slices(array, lps_to_ras(lps), **known), folder)


def make_found(geometry, labels=None):
    """A prediction on a grid whose vertebrae are blocks, with lesions at corners of them."""
    shape = np.array(geometry.shape)
    numbers = np.zeros(geometry.shape, np.uint16)
    if labels is None:
        labels = make_labels(geometry)
    for number, value in ((1, 20), (2, 21)):
        start = np.argwhere(labels.array == value).min(axis=0)
        numbers[tuple(slice(a, a + number + 1) for a in start)] = number
    box = tuple(slice(1, size - 1) for size in shape)
    probability = BoxedMap(geometry.shape, box)
    probability.fill(box, (numbers * np.float32(0.4) + np.float32(0.1) * (numbers > 0))[box])
    vertebrae = []
    for level, label in (("L1", 20), ("L2", 21)):
        index = np.argwhere(labels.array == label)
        start, stop = tuple(index.min(axis=0)), tuple(index.max(axis=0) + 1)
        vertebrae.append(Vertebra(level, label, start, stop, index.mean(axis=0), len(index), 1.0))
    spine = Spine(tuple(vertebrae), labels, (20, 21), ())
    ct = Volume(np.zeros(geometry.shape, np.int16), geometry)
    return Prediction(ct, spine, probability, None, 0.0, 1), numbers[box]


def make_labels(geometry):
    labels = np.zeros(geometry.shape, np.uint8)
    labels[1:4, 1:5, 2:5] = 20
    labels[4:7, 2:6, 1:5] = 21
    return Volume(labels, geometry)


def make_findings(numbers):
    lists = make_lists()
    (lesion,) = lists.lesions
    lesions = [lesion, lesion | {"lesion": 2, "level": None}]
    return Findings(list(lists.vertebrae), lesions, numbers)


def stored_along(axes, volume, path):
    """Writes a volume as NIfTI whose axes run along the given directions (RAS+), nearly."""
    geometry = volume.geometry
    image = nib.Nifti1Image(geometry.to_stored(volume.array), geometry.stored_affine)
    now = nib.orientations.io_orientation(image.affine)
    wanted = nib.orientations.io_orientation(nib.affines.from_matvec(np.asarray(axes).T))
    turned = image.as_reoriented(nib.orientations.ornt_transform(now, wanted))
    nib.save(turned, path)
    return path


def centroid_of_nifti(path, value):
    """Middle of the voxels with a value, RAS+ mm."""
    image = nib.load(path)
    index = np.argwhere(np.asarray(image.dataobj) == value).mean(axis=0)
    return image.affine[:3, :3] @ index + image.affine[:3, 3]


def voxels(data, segment=None):
    """Places [n, 3] of the pixels of a multi-frame object that are not 0, RAS+ mm; their values."""
    (shared,) = data.SharedFunctionalGroupsSequence
    (plane,) = shared.PlaneOrientationSequence
    down, across = (float(size) for size in shared.PixelMeasuresSequence[0].PixelSpacing)
    cosines = np.array(plane.ImageOrientationPatient, float)
    frames = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    places, values = [], []
    for frame, item in zip(frames, data.PerFrameFunctionalGroupsSequence, strict=True):
        if segment is not None:
            # It stands with what all frames share where all are of one segment.
            held = item if "SegmentIdentificationSequence" in item else shared
            (named,) = held.SegmentIdentificationSequence
            if named.ReferencedSegmentNumber != segment:
                continue
        first = np.array(item.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(frame)
        place = first + np.outer(columns * across, cosines[:3]) + np.outer(rows * down, cosines[3:])
        places.append(place * (-1, -1, 1))
        values.append(frame[rows, columns])
    return np.concatenate(places), np.concatenate(values)
