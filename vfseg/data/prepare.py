"""From a case on disk to its crops in the store: one crop a vertebra, in mm, never stretched."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from vfseg.data.anatomy import Vertebra, read_vertebrae, vertebrae_from_boxes
from vfseg.data.cases import Case
from vfseg.data.resample import sample_linear, sample_nearest
from vfseg.data.store import CaseRecord, CropRecord, read_record, write_case
from vfseg.data.volume import Geometry, Volume, check_same_geometry, read_ct, read_labels
from vfseg.errors import UserError

PLANES = {"axial": 0, "coronal": 1, "sagittal": 2}
"""Axis of `d h w` along which the slices of a plane follow each other."""

PADDING_HU = -1024
"""Value of air, where a crop reaches beyond the CT."""


@dataclasses.dataclass(frozen=True)
class PrepareSettings:
    """How crops are cut.

    Attributes:
      voxel_spacing: of the crops, mm, isotropic.
      crop_shape: (d, h, w) of a crop, voxels.
      vertebra_scheme: label scheme, "" lets the anatomy decide.
      boxes_inclusive: box files name the last voxel, not the one after it.
    """

    voxel_spacing: float
    crop_shape: tuple[int, int, int]
    vertebra_scheme: str = ""
    boxes_inclusive: bool = False


@dataclasses.dataclass(frozen=True)
class Crop:
    """An integer box of the case grid, the isotropic grid that shares the CT's first voxel and axes.

    Attributes:
      vertebra: what it is centred on.
      start: (d, h, w) of its first voxel in the case grid; may be negative.
    """

    vertebra: Vertebra
    start: tuple[int, int, int]


def find_vertebrae(case: Case, geometry: Geometry, settings: PrepareSettings):
    """Vertebrae of a case, cranial to caudal, from its label map or else its boxes.

    Returns:
      The vertebrae, and the label volume (None where only boxes were given).
    """
    if case.vertebrae is not None:
        labels = read_labels(case.vertebrae)
        check_same_geometry(geometry, labels.geometry, str(case.ct), str(case.vertebrae))
        reading = read_vertebrae(labels, settings.vertebra_scheme or None, str(case.vertebrae))
        return reading.vertebrae, labels
    if case.boxes is not None:
        boxes = vertebrae_from_boxes(case.boxes, geometry, inclusive=settings.boxes_inclusive)
        return boxes, None
    raise UserError(
        f"{case.case_id}: neither a vertebra label map nor a box file. Name one in the columns "
        "'vertebrae' or 'boxes' of the manifest."
    )


def place_crops(
    vertebrae: Iterable[Vertebra], geometry: Geometry, settings: PrepareSettings
) -> tuple[Crop, ...]:
    """Centres one crop on each vertebral body."""
    step = settings.voxel_spacing / geometry.voxel_spacing
    half = (np.asarray(settings.crop_shape) - 1) / 2

    def start(vertebra: Vertebra) -> tuple[int, int, int]:
        d, h, w = np.rint(np.asarray(vertebra.centre) / step - half).astype(int)
        return int(d), int(h), int(w)

    return tuple(Crop(vertebra, start(vertebra)) for vertebra in vertebrae)


def cut_ct(ct: Volume, crops: Sequence[Crop], settings: PrepareSettings) -> np.ndarray:
    """Crops `n d h w` of a CT, int16 HU, resampled linearly; air where the CT ends."""
    step = settings.voxel_spacing / ct.voxel_spacing
    out = np.empty((len(crops), *settings.crop_shape), np.int16)
    for index, crop in enumerate(crops):
        origin = np.asarray(crop.start) * step
        values = sample_linear(ct.array, origin, step, settings.crop_shape, fill=PADDING_HU)
        out[index] = np.rint(values)
    return out


def cut_labels(labels: Volume, crops: Sequence[Crop], settings: PrepareSettings) -> np.ndarray:
    """Crops `n d h w` of a label map, nearest neighbour, 0 where it ends."""
    step = settings.voxel_spacing / labels.voxel_spacing
    cuts = [
        sample_nearest(labels.array, np.asarray(c.start) * step, step, settings.crop_shape)
        for c in crops
    ]
    return np.stack(cuts)


def prepare_case(case: Case, settings: PrepareSettings, fingerprint: str, store: Path) -> None:
    """Cuts the crops of one case and writes them to the store.

    Raises:
      UserError: a file is missing, damaged, or does not lie on the grid of the CT.
    """
    ct = read_ct(case.ct)
    vertebrae, labels = find_vertebrae(case, ct.geometry, settings)
    crops = place_crops(vertebrae, ct.geometry, settings)
    shape = (len(crops), *settings.crop_shape)
    arrays = {
        "ct": cut_ct(ct, crops, settings),
        "fractures": np.zeros(shape, np.uint8),
        "vertebrae": np.zeros(shape, np.uint8),
    }
    if labels is not None:
        ids = cut_labels(labels, crops, settings)
        own = np.array([crop.vertebra.label for crop in crops])[:, None, None, None]
        arrays["vertebrae"] = np.where(ids == own, 1, 2 * (ids != 0)).astype(np.uint8)
    if case.fractures is not None:
        fractures = read_labels(case.fractures)
        check_same_geometry(ct.geometry, fractures.geometry, str(case.ct), str(case.fractures))
        arrays["fractures"] = cut_labels(fractures, crops, settings).astype(np.uint8)
    records = tuple(
        _record(crop, fractures, vertebrae, settings.voxel_spacing)
        for crop, fractures, vertebrae in zip(crops, arrays["fractures"], arrays["vertebrae"])
    )
    record = CaseRecord(
        case_id=case.case_id,
        patient_id=case.patient_id,
        split=case.split,
        fingerprint=fingerprint,
        voxel_spacing=settings.voxel_spacing,
        crop_shape=settings.crop_shape,
        crops=records,
    )
    write_case(store, record, arrays)


def prepare_cases(
    cases: Sequence[Case], settings: PrepareSettings, store: Path
) -> tuple[CaseRecord, ...]:
    """Brings the store up to date; cases whose inputs and settings stand are left alone."""
    for case in tqdm(cases, "prepare", unit="case", disable=None):
        fingerprint = fingerprint_of(case, settings)
        record = read_record(store, case.case_id)
        if record is None or record.fingerprint != fingerprint:
            prepare_case(case, settings, fingerprint, store)
    records = [read_record(store, case.case_id) for case in cases]
    return tuple(record for record in records if record is not None)


def fingerprint_of(case: Case, settings: PrepareSettings) -> str:
    """Hash of the contents of a case's files, of its manifest row and of the settings."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(settings), sort_keys=True).encode())
    digest.update(f"{case.case_id}|{case.patient_id}|{case.split}".encode())
    for path in (case.ct, case.vertebrae, case.boxes, case.fractures):
        if path is None:
            digest.update(b"none")
            continue
        try:
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise UserError(
                f"{path}: cannot be read ({error.strerror}). Check the manifest."
            ) from error
    return digest.hexdigest()


ATTRIBUTION_MARGIN_MM = 2.0
"""A fracture belongs to a vertebra where it lies within this distance of its mask."""


def _record(
    crop: Crop, fractures: np.ndarray, vertebrae: np.ndarray, voxel_spacing: float
) -> CropRecord:
    shown = fractures != 0
    slices = {
        plane: np.flatnonzero(shown.any(axis=tuple({0, 1, 2} - {axis}))).tolist()
        for plane, axis in PLANES.items()
    }
    own = attribute(shown, vertebrae, voxel_spacing)
    return CropRecord(
        level=crop.vertebra.level,
        label=crop.vertebra.label,
        start=crop.start,
        fracture_voxels=int(own.sum()),
        fractured_slices=slices,
        flags=crop.vertebra.flags,
    )


def attribute(shown: np.ndarray, vertebrae: np.ndarray, voxel_spacing: float) -> np.ndarray:
    """The part of the fracture voxels that belongs to the crop's own vertebra.

    A voxel belongs to the nearest vertebra mask, if that lies within `ATTRIBUTION_MARGIN_MM`.
    Never by the box: the neighbours' fractures lie in it, too. Without any mask (boxes only), all
    that the crop shows counts, which is all that can be said.

    Args:
      shown: fracture voxels of the crop, bool `d h w`.
      vertebrae: 1 this vertebra, 2 another one, `d h w`.
      voxel_spacing: mm.
    """
    if not shown.any() or not vertebrae.any():
        return shown
    distance, nearest = ndimage.distance_transform_edt(
        vertebrae == 0, sampling=voxel_spacing, return_indices=True
    )
    owner = vertebrae[tuple(nearest)]
    return shown & (owner == 1) & (distance <= ATTRIBUTION_MARGIN_MM)
