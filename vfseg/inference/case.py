"""One CT of a user: vertebrae, prediction, fusion, and the volumes that are written."""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from vfseg.crops.prepare import cut_ct, place_crops
from vfseg.crops.training_range import outside_training
from vfseg.data.cases import Case
from vfseg.data.geometry import Geometry
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.nifti import slabs
from vfseg.data.outputs import DICOM_FILES, NOTE
from vfseg.data.probability import reaches
from vfseg.data.settings import SpineReading
from vfseg.data.spine import Spine, read_spine
from vfseg.data.volume import Volume, mask_writer, probability_writer, read_geometry
from vfseg.inference.boxed_map import BoxedMap
from vfseg.inference.case_map import CaseMap, fuse_case
from vfseg.inference.model import Model

PROBABILITY, MASK = "probability.nii.gz", "mask.nii.gz"
UNCERTAINTY = "uncertainty.nii.gz"
VERTEBRAE, LESIONS = "vertebrae.csv", "lesions.csv"
LESION_MAP = "lesions.nii.gz"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What was found in one CT; its maps are written already.

    Attributes:
        ct: what was read.
        spine: its vertebrae, and how they were read.
        probability: fused map on the CT's grid, 0 outside every crop.
        uncertainty: its spread, in the same box; None where there was one prediction.
        predicted_ml: volume at and above the threshold, mL.
        predictions: of a voxel in one crop; with one there is no uncertainty map.
        outside: what of the CT lies outside the range of training, see `outside_training`.
    """

    ct: Volume
    spine: Spine
    probability: BoxedMap
    uncertainty: BoxedMap | None
    predicted_ml: float
    predictions: int
    outside: str | None = None


class Written(NamedTuple):
    """The maps of a case as they were written.

    Attributes:
        probability: fused map, 0 outside every crop.
        uncertainty: its spread, in the same box; None where there was one prediction.
        voxels: of the mask.
    """

    probability: BoxedMap
    uncertainty: BoxedMap | None
    voxels: int


def predict_case(
    case: Case,
    model: Model,
    reading: SpineReading,
    folder: Path,
    *,
    everywhere: bool = False,
) -> Prediction:
    """Predicts one CT and writes its maps.

    In memory at a time: the CT, the fused map on the grid of the crops, and slabs of the volumes
    that are written; no volume of the CT's size but the CT.

    Args:
        case: CT with a vertebra label map or boxes.
        model: fixes crops, windows, views, fusion and thresholds.
        reading: how the label map or the boxes are read.
        folder: of the results; see `write_maps`.
        everywhere: whether the map also shows what lies in no vertebra, see `near_vertebrae`.

    Raises:
        UserError: a file cannot be read or written, geometries differ, or no level of T4..L5 is
            found.
    """
    # Vertebrae first: what is wrong with them is said before the CT is unpacked.
    spine = read_spine(case, read_geometry(case.ct), reading)
    ct = read_hounsfield(case.ct)
    fused = fused_map(ct, spine, model)
    if not everywhere:
        fused = fused.near_vertebrae(spine, ct.geometry)
    origin = f"; trained on {model.fractures} fractures" if model.synthetic else ""
    written = write_maps(fused, ct.geometry, model.thresholds.fused, folder, NOTE + origin)
    predicted_ml = written.voxels * float(np.prod(ct.voxel_spacing)) / 1000
    return Prediction(
        *(ct, spine, written.probability, written.uncertainty, predicted_ml, model.predictions),
        outside=outside_training(ct.geometry, model.prepare.voxel_spacing),
    )


def fused_map(ct: Volume, spine: Spine, model: Model) -> CaseMap:
    """Predicts the crops of a CT and fuses them, with a bar over their views.

    Args:
        ct: HU.
        spine: its vertebrae.
        model: as in `predict_case`.
    """
    settings = model.prepare
    crops = place_crops(spine.vertebrae, ct.geometry, settings)
    crops = tuple(sorted(crops, key=lambda crop: crop.start))  # so that none waits for its turn
    total = len(crops) * model.predictions
    with tqdm(total=total, desc="predict", unit="view", disable=None, leave=None) as bar:
        return fuse_case(
            model.predictor.stream(model.members, cut_ct(ct, crops, settings), done=bar.update),
            [crop.start for crop in crops],
            spread=model.predictions > 1,
            fusion=model.fusion,
            slice_threshold=model.thresholds.slice,
            voxel_spacing=settings.voxel_spacing,
        )


def write_maps(
    fused: CaseMap, geometry: Geometry, threshold: float, folder: Path, note: str = NOTE
) -> Written:
    """Writes map, mask and, where there is a spread, uncertainty with the geometry of the CT.

    Slab by slab in the order of the files, which are compressed side by side, each by a thread,
    while the next slab is resampled.

    Args:
        fused: of the case.
        geometry: of the CT.
        threshold: probability from which a voxel belongs to the mask.
        folder: gets `probability.nii.gz`, `mask.nii.gz` and `uncertainty.nii.gz`; one of the latter
            that stands from an earlier run and has no successor is deleted, and so, before anything
            is written, are the lists of earlier maps and what DICOM there is of them.
        note: description in the headers of the files.
    """
    for name in (VERTEBRAE, LESIONS, LESION_MAP, *DICOM_FILES):
        (folder / name).unlink(missing_ok=True)
    box, voxels = fused.box(geometry), 0
    probability = BoxedMap(geometry.shape, box)
    uncertainty = None if fused.spread is None else BoxedMap(geometry.shape, box)
    with ExitStack() as files, ThreadPoolExecutor(3) as pool:
        # The map appears last: where it stands, the others do.
        writers: list[Callable[[np.ndarray], None]] = [
            files.enter_context(probability_writer(folder / PROBABILITY, geometry, note)),
            files.enter_context(mask_writer(folder / MASK, geometry, note)),
        ]
        if fused.spread is not None:
            writers.append(
                files.enter_context(probability_writer(folder / UNCERTAINTY, geometry, note))
            )
        pending: Sequence = ()
        for part in tqdm(slabs(geometry), "write", unit="slab", disable=None, leave=None):
            slab = fused.part_on_ct(geometry, part)
            mask: np.ndarray = np.zeros(slab.region.shape, np.uint8)
            if slab.region.any():  # most slabs lie outside every crop
                mask[:] = reaches(slab.probability, threshold) & slab.region
                voxels += int(np.count_nonzero(mask))
                probability.fill(part, slab.probability)
            values = [slab.probability, mask]
            if uncertainty is not None and slab.spread is not None:
                uncertainty.fill(part, slab.spread)
                values.append(slab.spread)
            for future in pending:
                future.result()
            pending = [pool.submit(write, array) for write, array in zip(writers, values)]
        for future in pending:
            future.result()
    if fused.spread is None:
        (folder / UNCERTAINTY).unlink(missing_ok=True)
    return Written(probability, uncertainty, voxels)
