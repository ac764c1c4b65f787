"""From a case on disk to its crops in the store: one crop a vertebra, in mm, never stretched.

The store keeps Hounsfield units as they are, int16: the HU windows of a config are applied on the
device (`intensity.to_channels`), so that another window needs no second preparation.
"""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from absl import logging
from tqdm import tqdm

from vfseg.crops.settings import PrepareSettings
from vfseg.crops.store import CaseRecord, CropRecord, read_record, write_case
from vfseg.data.attribution import attribute
from vfseg.data.cases import Case
from vfseg.data.dicom_slice import PADDING_HU
from vfseg.data.fingerprint import case_fingerprint
from vfseg.data.geometry import Geometry, check_same_geometry
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.instances import instances_as_uint8
from vfseg.data.levels import Vertebra
from vfseg.data.resample import resampled_affine, sample_linear, sample_nearest
from vfseg.data.settings import PLANE_AXES
from vfseg.data.spine import read_spine
from vfseg.data.volume import Volume, read_geometry, read_labels
from vfseg.errors import UserError
from vfseg.files import sweep
from vfseg.processes import cores
from vfseg.stopping import STOP

CASES_AT_ONCE = 4  # at most so many CTs are in memory, and no more than there are cores


@dataclasses.dataclass(frozen=True)
class Crop:
    """An integer box of the case grid: isotropic, sharing the first voxel and axes of the CT.

    Attributes:
        vertebra: what it is centred on.
        start: (d, h, w) of its first voxel in the case grid; may be negative.
    """

    vertebra: Vertebra
    start: tuple[int, int, int]


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


def cut_owners(
    labels: Volume, crops: Sequence[Crop], spine: Collection[int], settings: PrepareSettings
) -> np.ndarray:
    """Where voxels of crops lie: 1 in their own vertebra, 2 in other parts of the spine, 0 in none.

    Args:
        labels: label map.
        crops: of its vertebrae.
        spine: all ids of the map that are spine.
        settings: how crops are cut.

    Returns:
        uint8 `n d h w`.
    """
    ids = cut_labels(labels, crops, settings)
    owners = np.zeros(ids.shape, np.uint8)
    owners[np.isin(ids, list(spine))] = 2
    for owner, cut, crop in zip(owners, ids, crops):
        owner[cut == crop.vertebra.label] = 1
    return owners


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A case that could not be prepared, and why.

    The reason is the text of its `UserError`; for an error that no check foresaw, its type as well.
    """

    case_id: str
    reason: str


def prepare_cases(
    cases: Sequence[Case], settings: PrepareSettings, store: Path
) -> tuple[tuple[CaseRecord, ...], tuple[LeftOut, ...]]:
    """Brings the store up to date; cases whose inputs and settings stand are left alone.

    Cases are read in parallel by threads (inflating and NumPy let go of the interpreter's lock), at
    most `CASES_AT_ONCE`, so at most that many CTs are in memory. Every case is stored on its own:
    an interrupted run continues where it stopped, and what it left half done is removed: one run at
    a time may prepare.

    Returns:
        Records of the usable cases and the cases that were left out, both in the order of `cases`.

    Raises:
        UserError: no case is usable, or the store cannot be written.
        Stopped: the program was asked to end; the cases at hand are stored first.
    """
    sweep(store)
    pool = ThreadPoolExecutor(min(CASES_AT_ONCE, cores()))
    try:
        futures = [pool.submit(_up_to_date, case, settings, store) for case in cases]
        done = tqdm(as_completed(futures), "prepare", len(cases), unit="case", disable=None)
        for future in done:
            future.result()  # an error that is not of one case ends the run at once
            if STOP.asked:
                break
    finally:
        pool.shutdown(cancel_futures=True)
    finished = sum(not future.cancelled() for future in futures)
    if finished < len(futures):
        STOP.after_case(
            f"{store}: {finished} of {len(futures)} cases are prepared and kept; the same command "
            "goes on with the others."
        )
    results = [future.result() for future in futures]
    records = tuple(result for result in results if isinstance(result, CaseRecord))
    left_out = tuple(result for result in results if isinstance(result, LeftOut))
    for case in left_out:
        logging.warning("left out: %s: %s", case.case_id, case.reason)
    if not records:
        reasons = [f"{case.case_id}: {case.reason}" for case in left_out]
        raise UserError("\n  ".join(["no case can be used:", *reasons]))
    return records, left_out


def _up_to_date(case: Case, settings: PrepareSettings, store: Path) -> CaseRecord | LeftOut:
    """The record of a case, prepared anew where the store does not hold it as it now is."""
    try:
        fingerprint = fingerprint_of(case, settings)
        stored = read_record(store, case.case_id)
        if stored.damage:
            logging.warning(
                "%s: its prepared crops are damaged (%s): prepared again",
                *(case.case_id, stored.damage),
            )
        if stored.record is not None and stored.record.fingerprint == fingerprint:
            return stored.record
        record, arrays = cut_case(case, settings, fingerprint)
    except UserError as error:
        return LeftOut(case.case_id, str(error))
    except Exception as error:  # an error that no check foresaw still concerns this case alone
        logging.debug("%s: cannot be prepared", case.case_id, exc_info=True)
        return LeftOut(case.case_id, f"{type(error).__name__}: {error}")
    write_case(store, record, arrays)
    return record


def cut_case(
    case: Case, settings: PrepareSettings, fingerprint: str
) -> tuple[CaseRecord, dict[str, np.ndarray]]:
    """Record and arrays of a case, as `write_case` takes them.

    One volume is in memory at a time: the peak is the largest of them, the CT as a rule, and the
    crops.

    Raises:
        UserError: a file is missing, damaged, or does not lie on the grid of the CT; no vertebra.
    """
    geometry = read_geometry(case.ct)
    vertebrae, labels, spine, *_ = read_spine(case, geometry, settings)
    crops = place_crops(vertebrae, geometry, settings)
    owners: Sequence[np.ndarray | None] = [None] * len(crops)
    if labels is not None:
        owners = list(cut_owners(labels, crops, spine, settings))
        del labels
    instances = np.zeros((len(crops), *settings.crop_shape), np.uint8)
    if case.fractures is not None:
        fractures = read_labels(case.fractures)
        check_same_geometry(geometry, fractures.geometry, str(case.ct), str(case.fractures))
        instances = instances_as_uint8(cut_labels(fractures, crops, settings), str(case.fractures))
        del fractures
    hounsfield = cut_ct(read_hounsfield(case.ct), crops, settings)
    record = CaseRecord(
        case_id=case.case_id,
        patient_id=case.patient_id,
        fingerprint=fingerprint,
        voxel_spacing=settings.voxel_spacing,
        crop_shape=settings.crop_shape,
        crops=tuple(
            _record(crop, geometry, shown != 0, owner, settings.voxel_spacing)
            for crop, shown, owner in zip(crops, instances, owners)
        ),
    )
    return record, {"ct": hounsfield, "fractures": instances}


def fingerprint_of(case: Case, settings: PrepareSettings) -> str:
    """What the crops of a case depend on, as one hash; raises `UserError` as `case_fingerprint`."""
    return case_fingerprint(case, dataclasses.asdict(settings))


def _record(
    crop: Crop,
    geometry: Geometry,
    shown: np.ndarray,
    owners: np.ndarray | None,
    voxel_spacing: float,
) -> CropRecord:
    """What a crop shows: slices with any fracture, and voxels of its own vertebra's fractures."""
    slices = {
        plane: np.flatnonzero(shown.any(axis=tuple({0, 1, 2} - {axis}))).tolist()
        for plane, axis in PLANE_AXES.items()
    }
    step = voxel_spacing / geometry.voxel_spacing
    affine = resampled_affine(geometry.affine, np.asarray(crop.start) * step, step)
    return CropRecord(
        level=crop.vertebra.level,
        label=crop.vertebra.label,
        start=crop.start,
        fracture_voxels=int(attribute(shown, owners, voxel_spacing).sum()),
        fractured_slices=slices,
        flags=crop.vertebra.flags,
        affine=tuple(tuple(row) for row in affine.tolist()),
    )
