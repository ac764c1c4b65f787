"""Writes DICOM CT series as a scanner would, for tests."""

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SLOPE, INTERCEPT = 1, -1024


def lps_to_ras(matrix):
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def series_affine(
    rows=(1, 0, 0), columns=(0, 1, 0), spacing=(0.7, 0.9, 2.5), origin=(-30, 12, 400)
):
    """RAS+ affine of `[column, row, slice]`: spacing between columns, rows and slices in mm."""
    lps = np.eye(4)
    lps[:3, 0] = np.array(rows) * spacing[0]
    lps[:3, 1] = np.array(columns) * spacing[1]
    lps[:3, 2] = np.cross(rows, columns) * spacing[2]
    lps[:3, 3] = -30, 12, 400
    return lps_to_ras(lps)


def make_slices(array, affine, uid=None, **tags):
    """One dataset a slice of `array` [column, row, slice] in HU, with an affine in RAS+ mm.

    `tags` replace or add elements of all slices; None removes one.
    """
    lps = lps_to_ras(affine)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    uid = uid or generate_uid()
    slices = []
    for index in range(array.shape[2]):
        data = pydicom.Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.SeriesInstanceUID, data.Modality, data.SeriesDescription = uid, "CT", "Bone 1.0"
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.InstanceNumber = index + 1
        data.Columns, data.Rows = array.shape[:2]
        data.PixelSpacing = [float(spacing[1]), float(spacing[0])]  # rows, then columns
        direction = np.concatenate([lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1]])
        data.ImageOrientationPatient = [round(float(value), 9) for value in direction]
        place = lps @ [0, 0, index, 1]
        data.ImagePositionPatient = [round(float(value), 6) for value in place[:3]]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.RescaleSlope, data.RescaleIntercept = SLOPE, INTERCEPT
        for tag, value in tags.items():
            if value is None:
                delattr(data, tag)
            else:
                setattr(data, tag, value)
        slope = float(data.get("RescaleSlope", SLOPE))
        raw = np.rint((array[..., index].T - float(data.get("RescaleIntercept", 0))) / slope)
        data.PixelData = raw.astype("<i2" if data.PixelRepresentation else "<u2").tobytes()
        slices.append(data)
    return slices


def save(slices, folder, seed=0):
    """Write slices under names whose order says nothing; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    start = len(list(folder.iterdir()))
    numbers = start + np.random.default_rng(seed).permutation(len(slices))
    for number, data in zip(numbers, slices):
        data.save_as(folder / f"IM{number:04d}", enforce_file_format=True)
    return folder


def volume(shape=(6, 5, 4), seed=0):
    return np.random.default_rng(seed).integers(-1000, 2500, shape).astype(np.int16)


def slices_of(count=10, **tags):
    """A series of axial slices of 5 x 6 pixels, 2.5 mm apart."""
    return make_slices(volume((6, 5, count)), series_affine(), **tags)


def jpeg_series(folder, syntax, shape=(16, 16, 4)):
    """Writes a series as archives send it; returns the folder, and that of the series before.

    Args:
        folder: an empty one.
        syntax: of the compression, as gdcm names it.
        shape: columns, rows, slices.
    """
    import gdcm

    plain, packed = (
        save(make_slices(volume(shape), series_affine()), folder / "plain"),
        folder / "p",
    )
    packed.mkdir()
    for path in plain.iterdir():
        reader, change = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(packed / path.name))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    return packed, plain
