"""Judges a peer as `evaluate` judges a model of ours: its own thresholds, our figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vfseg.commands.workdir import Run
from vfseg.evaluation.evaluate import Evaluator
from vfseg.evaluation.summary import judged, summarise, write_evaluation
from vfseg.inference.views import Views

CropFunction = Callable[[np.ndarray], np.ndarray]
"""Maps a crop, int16 HU `d h w`, to the probability of fracture of each voxel, float32 `d h w`."""


class WholeCrops:
    """Stands where a `Predictor` does: one answer a crop, in place of one a plane and flip.

    Attributes:
        views: of which there is one.
    """

    views = Views(("sagittal",))

    def __init__(self, predict: CropFunction):
        """Args: predict: of the peer."""
        self._predict = predict

    def slices(self, _: Any, crops: np.ndarray) -> np.ndarray:
        """Probabilities float32 `n 1 d h w` of crops `n d h w`."""
        return np.stack([self._predict(crop) for crop in crops])[:, None]


def judge(run: Run, predict: CropFunction, folder: Path) -> dict[str, Any]:
    """Thresholds from the validation cases of a run, figures from its test cases.

    The crops are fused on the grid of each CT, limited to the surroundings of the vertebrae and
    scored by the functions that score a model of ours.

    Args:
        run: whose cases they are.
        predict: of the peer.
        folder: `evaluation` is written there, for `compare_runs`.

    Returns:
        The summary.
    """
    config, cases = run.config, run.prepared.cases
    evaluator = Evaluator(
        WholeCrops(predict),  # type: ignore[arg-type]
        None,
        run.store,
        config.inference.fusion,
        config.prepare,
    )
    thresholds = evaluator.choose_thresholds(cases, run.records("validation"))
    predicted = evaluator.predict_slices(run.records("test"), "test")
    scores = evaluator.score(cases, predicted, thresholds.slice, thresholds=thresholds)
    judged_cases = judged(scores, thresholds)
    summary = summarise(judged_cases, split="test", synthetic=config.synthetic, seed=config.seed)
    summary["data"] = run.data_hash("validation", "test")
    write_evaluation(folder / "evaluation", summary, judged_cases)
    return summary
