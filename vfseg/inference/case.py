"""One CT of a user: vertebrae, prediction, fusion, and the volumes that are written."""

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vfseg.data.boxed_map import BoxedMap
from vfseg.data.cases import Case
from vfseg.data.geometry import Geometry
from vfseg.data.prepare import PrepareSettings, Spine, cut_ct, place_crops, read_spine
from vfseg.data.probability import reaches
from vfseg.data.volume import (
    Volume,
    mask_writer,
    probability_writer,
    read_ct,
    read_geometry,
    slabs,
)
from vfseg.errors import UserError
from vfseg.inference.case_map import CaseMap, fuse_case
from vfseg.inference.model import Model

PROBABILITY, MASK = "probability.nii.gz", "mask.nii.gz"
UNCERTAINTY = "uncertainty.nii.gz"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What was found in one CT; its maps are written already.

    Attributes:
      ct: what was read.
      spine: its vertebrae, and how they were read.
      probability: fused map on the CT's grid, 0 outside every crop.
      predicted_ml: volume at and above the threshold, mL.
      highest: highest slice prediction in the crop of each vertebra, 0..1.
      views: predictions of a voxel in one crop; with one there is no uncertainty map.
    """

    ct: Volume
    spine: Spine
    probability: BoxedMap
    predicted_ml: float
    highest: tuple[float, ...]
    views: int


def predict_case(
    case: Case,
    model: Model,
    settings: PrepareSettings,
    slice_threshold: float,
    threshold: float,
    folder: Path,
) -> Prediction:
    """Predicts one CT and writes its maps.

    In memory at a time: the CT, the fused map on the grid of the crops, and slabs of the volumes
    that are written; no volume of the CT's size but the CT.

    Args:
      case: CT with a vertebra label map or boxes.
      model: from `load_model`; it fixes windows, views and fusion.
      settings: the model's, with the reading of label map or boxes that this case needs.
      slice_threshold: probability from which a slice prediction votes.
      threshold: probability from which a fused voxel belongs to the mask.
      folder: of the results; see `write_maps`.

    Raises:
      UserError: a file cannot be read or written, geometries differ, or no level of T4..L5 is
        found.
    """
    # Everything small is read first, so that what is wrong with it is said at once.
    spine = read_spine(case, read_geometry(case.ct), settings)
    ct = read_ct(case.ct)
    crops = place_crops(spine.vertebrae, ct.geometry, settings)
    views = model.predictor.views
    highest = []
    with tqdm(total=len(crops) * len(views), desc="predict", unit="view", disable=None) as bar:

        def watched():
            stream = model.predictor.stream(
                model.g_params, cut_ct(ct, crops, settings), done=bar.update
            )
            for answers in stream:
                highest.append(float(answers.max()))
                yield answers

        fused = fuse_case(
            watched(),
            [crop.start for crop in crops],
            views=views,
            fusion=model.config.inference.fusion,
            slice_threshold=slice_threshold,
            voxel_spacing=settings.voxel_spacing,
        )
    probability, voxels = write_maps(fused, ct.geometry, threshold, folder)
    voxel_ml = float(np.prod(ct.voxel_spacing)) / 1000
    return Prediction(ct, spine, probability, voxels * voxel_ml, tuple(highest), len(views))


def write_maps(
    fused: CaseMap, geometry: Geometry, threshold: float, folder: Path
) -> tuple[BoxedMap, int]:
    """Writes map, mask and, where there is a spread, uncertainty with the geometry of the CT.

    Slab by slab in the order of the files, which are compressed side by side, each by a thread,
    while the next slab is resampled.

    Args:
      fused: of the case.
      geometry: of the CT.
      threshold: probability from which a voxel belongs to the mask.
      folder: gets `probability.nii.gz`, `mask.nii.gz` and `uncertainty.nii.gz`; one of the latter
        that stands from an earlier run and has no successor is deleted.

    Returns:
      The map as it was written, and the number of voxels of the mask.
    """
    probability = BoxedMap(geometry.shape, fused.box(geometry))
    voxels = 0
    with ExitStack() as files, ThreadPoolExecutor(3) as pool:
        # The map appears last: where it stands, the others do.
        writers: list[Callable[[np.ndarray], None]] = [
            files.enter_context(probability_writer(folder / PROBABILITY, geometry)),
            files.enter_context(mask_writer(folder / MASK, geometry)),
        ]
        if fused.spread is not None:
            writers.append(files.enter_context(probability_writer(folder / UNCERTAINTY, geometry)))
        pending: Sequence = ()
        for part in tqdm(slabs(geometry), "write", unit="slab", disable=None):
            slab = fused.part_on_ct(geometry, part)
            mask = (reaches(slab.probability, threshold) & slab.region).astype(np.uint8)
            voxels += int(np.count_nonzero(mask))
            probability.fill(part, slab.probability)
            values = [slab.probability, mask, slab.spread]
            for future in pending:
                future.result()
            pending = [pool.submit(write, array) for write, array in zip(writers, values)]
        for future in pending:
            future.result()
    if fused.spread is None:
        (folder / UNCERTAINTY).unlink(missing_ok=True)
    return probability, voxels
