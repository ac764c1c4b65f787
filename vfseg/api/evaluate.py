"""`vfseg.evaluate`: predictions of CTs against masks of their fractures."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import nibabel as nib

from vfseg.api.inputs import Image, image_file, named_as_given
from vfseg.api.predict import CasePrediction
from vfseg.crops.prepare import place_crops
from vfseg.data.box import Box
from vfseg.data.cases import Case
from vfseg.data.instances import instances_are_marked
from vfseg.errors import UserError, quantity
from vfseg.evaluation.case_scores import CaseScores, KnownCase, measure_case
from vfseg.evaluation.floors import crop_region
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.slices import SliceScores
from vfseg.evaluation.summary import judged, summarise
from vfseg.evaluation.truth import known_fractures
from vfseg.inference.case import Prediction
from vfseg.inference.case_map import Slab
from vfseg.inference.model import Model

_OF_A_RUN = ("split", "synthetic", "slice", "slice_threshold")
"""What the summary of a run says and predictions in memory do not know."""


def evaluate(
    predictions: CasePrediction | Sequence[CasePrediction],
    truths: Image | Sequence[Image],
    *,
    patients: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The figures of `evaluation/summary.json` for predictions whose fractures are known.

    Level (voxel, lesion, vertebra, verdict, case, calibration) -> name -> {"value", "ci95", "n"},
    defined as everywhere in the package; voxels count in the union of the crops. There are no
    figures of single slices, which a fused map does not hold. Intervals are bootstrapped over
    patients and need five of them; of one case there are values alone.

    Args:
        predictions: of one CT or of several, all by one model.
        truths: for each a mask on the grid of its CT, 0 is no fracture. Where any of them has two
            ids, an id is a fracture; else each connected part is.
        patients: whose CTs they are; None takes each for a patient of its own.
        seed: of the bootstrap.

    Raises:
        TypeError: they are no predictions.
        UserError: another number of truths or patients, predictions by several models, or a mask
            that cannot be read or lies on another grid.
    """
    if isinstance(predictions, CasePrediction):
        several, known = [predictions], [cast(Image, truths)]
    else:
        alone = isinstance(truths, str | os.PathLike | nib.spatialimages.SpatialImage)
        several = list(predictions)
        known = [cast(Image, truths)] if alone else list(cast(Sequence[Image], truths))
    names = list(patients) if patients is not None else _apart(len(several))
    others = [type(one).__name__ for one in several if not isinstance(one, CasePrediction)]
    if others:
        raise TypeError(f"vfseg.evaluate: expected what vfseg.predict gives, got {others[0]}")
    if not several or not len(several) == len(known) == len(names):
        raise UserError(
            f"vfseg.evaluate: {quantity(len(several), 'prediction')}, "
            f"{quantity(len(known), 'truth')}, {quantity(len(names), 'patient')}. Give one of each "
            "for every CT, and at least one."
        )
    model = several[0].result.model
    if any(one.result.model.thresholds != model.thresholds for one in several):
        raise UserError("vfseg.evaluate: predictions by several models. Evaluate each by itself.")
    with tempfile.TemporaryDirectory(prefix="vfseg-") as folder, named_as_given(Path(folder)):
        cases = [
            dataclasses.replace(
                one.result.case,
                case_id=f"{number:04d}-{one.case_id}",
                patient_id=name,
                fractures=image_file(truth, Path(folder) / f"truth{number}.nii"),
            )
            for number, (one, truth, name) in enumerate(zip(several, known, names))
        ]
        marked = instances_are_marked(cases)
        scores = [
            _score(case, one.result.found, model, marked)
            for case, one in zip(cases, several, strict=True)
        ]
    cases_judged = judged(scores, model.thresholds)
    summary = summarise(cases_judged, split="", synthetic=model.synthetic, seed=seed)
    return {name: value for name, value in summary.items() if name not in _OF_A_RUN}


def _apart(count: int) -> list[str]:
    """Names of so many patients, no two of which are spellings of one."""
    return [str(number) for number in range(count)]


def _score(case: Case, found: Prediction, model: Model, marked: bool) -> CaseScores:
    """Measures a prediction as an evaluation measures its own, apart from single slices."""
    box = found.probability.box
    spread = None if found.uncertainty is None else found.uncertainty[box]
    fused = Slab(found.probability[box], _region(found, model, box), spread)
    fractures = known_fractures(case, found.ct, marked)
    known = KnownCase(case, "", found.ct, found.spine, fractures, found.outside)
    return measure_case(known, SliceScores(ScoreHistogram()), fused, box, model.thresholds)


def _region(found: Prediction, model: Model, box: Box) -> Any:
    settings, geometry = model.prepare, found.ct.geometry
    crops = place_crops(found.spine.vertebrae, geometry, settings)
    return crop_region(crops, settings.crop_shape, geometry, settings.voxel_spacing)[box]
