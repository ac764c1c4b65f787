"""One CT of a user: vertebrae, prediction, fusion, and the two volumes that are written."""

import dataclasses
from pathlib import Path

import numpy as np

from vfseg.data.cases import Case
from vfseg.data.prepare import PrepareSettings, Spine, cut_ct, place_crops, read_spine
from vfseg.data.probability import reaches
from vfseg.data.volume import Volume, read_ct, write_labels, write_probability
from vfseg.inference.model import Model


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The map of one CT.

    Attributes:
      ct: what was read.
      spine: its vertebrae, and how they were read.
      probability: fused map, float32 `d h w` on the CT's grid, 0 outside every crop.
      mask: uint8, 1 where the map reaches the threshold.
      region: bool, the union of the crops.
      highest: highest slice prediction in the crop of each vertebra, 0..1.
    """

    ct: Volume
    spine: Spine
    probability: np.ndarray
    mask: np.ndarray
    region: np.ndarray
    highest: tuple[float, ...]

    @property
    def predicted_ml(self) -> float:
        """Volume above the threshold, mL."""
        return float(self.mask.sum()) * float(np.prod(self.ct.voxel_spacing)) / 1000


def predict_case(
    case: Case,
    model: Model,
    settings: PrepareSettings,
    slice_threshold: float,
    threshold: float,
) -> Prediction:
    """Predicts one CT.

    Args:
      case: CT with a vertebra label map or boxes.
      model: from `load_model`; it fixes windows and fusion.
      settings: the model's, with the reading of label map or boxes that this case needs.
      slice_threshold: probability from which a slice prediction votes.
      threshold: probability from which a fused voxel belongs to the mask.

    Raises:
      UserError: a file cannot be read, geometries differ, or no level of T4..L5 is found.
    """
    ct = read_ct(case.ct)
    spine = read_spine(case, ct.geometry, settings)
    crops = place_crops(spine.vertebrae, ct.geometry, settings)
    predictions = model.predictor.slices(model.g_params, cut_ct(ct, crops, settings))
    fused = model.predictor.fuse(predictions, [crop.start for crop in crops], slice_threshold)
    fusion = model.config.inference.fusion
    probability, region = fused.on_ct(ct.geometry, settings.voxel_spacing, fusion)
    highest = tuple(float(crop.max()) for crop in predictions)
    mask = (reaches(probability, threshold) & region).astype(np.uint8)
    return Prediction(ct, spine, probability, mask, region, highest)


def write_prediction(prediction: Prediction, folder: Path) -> None:
    """Writes `probability.nii.gz` and `mask.nii.gz` with the geometry of the CT."""
    geometry = prediction.ct.geometry
    write_labels(folder / "mask.nii.gz", prediction.mask, geometry)
    # The map comes last: where it stands, the mask does.
    write_probability(folder / "probability.nii.gz", prediction.probability, geometry)
