"""A trained model as a prediction needs it; `vfseg.config.model` opens one.

An ensemble is one, too: its members share everything but their parameters, and each of them is to
the fusion as a further view. So by the rule `mean` its map is the mean of their maps, and the
spread of a voxel is that over views, crops and members together.
"""

import dataclasses
from typing import Any

from vfseg.crops.settings import PrepareSettings
from vfseg.inference.predict import Predictor
from vfseg.inference.thresholds import Thresholds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """Everything that a prediction depends on.

    Attributes:
        steps: of the checkpoint of each member; most models have one.
        predictor: compiled prediction.
        members: parameters of the generator, for each: the running mean of the trained ones.
        thresholds: that were chosen for it.
        fusion: rule by which its slice predictions are fused, one of `FUSIONS`.
        prepare: how crops were cut for it.
        finest_features: channels of the network at the finest scale.
        fractures: that it was trained on, as every output says: "synthetic", "the user's", or both.
    """

    steps: tuple[int, ...]
    predictor: Predictor
    members: tuple[Any, ...] = dataclasses.field(repr=False)  # thousands of lines
    thresholds: Thresholds
    fusion: str
    prepare: PrepareSettings
    finest_features: int
    fractures: str

    @property
    def predictions(self) -> int:
        """How often each voxel of a crop is predicted: in every view, by every member."""
        return len(self.predictor.views) * len(self.members)

    @property
    def synthetic(self) -> bool:
        """Whether any of them was made, not found."""
        return "synthetic" in self.fractures
