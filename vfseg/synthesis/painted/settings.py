"""Settings of the cohort that is painted from label maps."""

from dataclasses import dataclass
from typing import Annotated

from vfseg.data.spine import SCHEME
from vfseg.settings import Settings, between, one_of, whole
from vfseg.synthesis.phantom.settings import RATES, PhantomSettings

# Raise it when the same settings begin to give other voxels, so that old cases are made again.
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class PaintedSettings(Settings, section="painted"):
    """CTs painted from vertebra label maps: real shapes, drawn intensities, drawn fractures.

    Attributes:
        label_maps: folder of the label maps, searched at every depth; empty paints nothing.
        variants: CTs of each label map.
        seed: root of all seeds.
        fracture_probability: labelled (acute) fractures per vertebra, mean over T4-L5.
        fracture_rates: "clinical" for the level-dependent rates of a clinical series scaled to the
            same mean (the thoracolumbar junction leads), or "uniform".
        vertebra_scheme: label scheme of the maps, "" lets the anatomy decide.
    """

    label_maps: str = ""
    variants: Annotated[int, whole(1)] = 8
    seed: Annotated[int, whole(0)] = 0
    fracture_probability: Annotated[float, between(0, 1)] = 0.26
    fracture_rates: Annotated[str, one_of(RATES)] = "clinical"
    vertebra_scheme: Annotated[str, SCHEME] = ""

    def fractures(self) -> PhantomSettings:
        """How often the phantom's kinds of fracture are drawn."""
        return PhantomSettings(
            fracture_probability=self.fracture_probability,
            fracture_rates=self.fracture_rates,
            old_deformity_probability=0.08 if self.fracture_probability else 0.0,
            across_slices_fraction=0.1,
            split_fraction=0.05,
            burst_fraction=0.12,
        )
