"""A trained model as a prediction needs it; `vfseg.config.model` opens one."""

import dataclasses
from typing import Any

from vfseg.crops.prepare import PrepareSettings
from vfseg.inference.predict import Predictor
from vfseg.inference.thresholds import Thresholds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """Everything that a prediction depends on.

    Attributes:
        step: of the checkpoint.
        predictor: compiled prediction.
        g_params: parameters of the generator: the running mean of the trained ones.
        thresholds: chosen on validation.
        fusion: rule by which its slice predictions are fused, one of `FUSIONS`.
        prepare: how crops were cut for it.
        finest_features: channels of the network at the finest scale.
        fractures: that it was trained on, as every output says: "synthetic", "the user's", or both.
    """

    step: int
    predictor: Predictor
    g_params: Any
    thresholds: Thresholds
    fusion: str
    prepare: PrepareSettings
    finest_features: int
    fractures: str

    @property
    def synthetic(self) -> bool:
        """Whether any of them was made, not found."""
        return "synthetic" in self.fractures
