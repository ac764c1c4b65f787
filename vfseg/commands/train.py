"""Mode `train`: from the newest checkpoint of the workdir, or from the start."""

from typing import Any

import numpy as np

from vfseg import processes
from vfseg.commands.memory import remember
from vfseg.commands.workdir import Run
from vfseg.config.model import make_predictor
from vfseg.config.recipe import training_plan
from vfseg.crops.store import CaseArrays, read_crops
from vfseg.data.settings import PLANE_AXES
from vfseg.evaluation.evaluate import Evaluator
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.slices import SlicesOfCase
from vfseg.training import loop
from vfseg.training.samples import best_slice, side_by_side

_PICTURES = 4  # validation cases shown in TensorBoard


def train(run: Run) -> None:
    """Trains through all stages.

    With several processes each trains on its part of every batch and validates its part of the
    cases; the first one writes. How many there are may change from one run to the next.
    """
    config = run.config
    data = run.data_hash("train", "validation")
    processes.from_first(lambda: remember(config, run.workdir, data), None)
    validation = run.records("validation")

    def validate(g_params: Any) -> dict[str, Any]:
        histogram = ScoreHistogram()
        pictures: list[np.ndarray] = []
        evaluator = Evaluator(
            make_predictor(config), g_params, run.store, config.inference.fusion, config.prepare
        )
        for case in evaluator.predict_slices(processes.share(validation), "validate"):
            histogram += case.scores.histogram
            if len(pictures) < _PICTURES:
                pictures.append(_picture(run, case))
        all_of_them = processes.gather(histogram, ScoreHistogram)
        score = sum(all_of_them, ScoreHistogram()).average_precision()
        scores = {"pr_auc": 0.0 if score is None else score}
        return scores | ({"slices": np.concatenate(pictures)} if pictures else {})

    loop.train(training_plan(config), run.workdir, run.store, run.records("train"), validate)


def _picture(run: Run, case: SlicesOfCase) -> np.ndarray:
    """CT, truth and prediction of the slice of a case that shows most fracture, `h 3w 3` uint8."""
    arrays = CaseArrays(run.store, case.record)
    fractures = [crop.fracture_voxels for crop in case.record.crops]
    crop, axis = int(np.argmax(fractures)), PLANE_AXES[run.config.windows.planes[0]]
    ct, truth = read_crops(arrays.ct, crop), read_crops(arrays.fractures, crop)
    volumes = ct, truth, case.predictions[crop, 0]
    best = best_slice(truth, axis)
    return side_by_side(*(np.take(volume, best, axis) for volume in volumes))
