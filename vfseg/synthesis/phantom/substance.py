"""What one vertebra is made of: the density of its bone, and how that varies within it."""

from dataclasses import dataclass

import numpy as np

from vfseg.synthesis.phantom.fractures import Fracture
from vfseg.synthesis.phantom.shapes import Ripple
from vfseg.synthesis.phantom.spine import Patient, Size
from vfseg.synthesis.phantom.vertebra import Cortex


@dataclass(frozen=True, eq=False)
class Substance:
    """What a vertebra is made of.

    Attributes:
        density: HU of its trabecular bone.
        patches: field by which that is uneven.
        cortex: shell of its body.
    """

    density: float
    patches: Ripple
    cortex: Cortex


def draw_substance(
    rng: np.random.Generator, patient: Patient, size: Size, fracture: Fracture | None
) -> Substance:
    """Draws it: thoracic bone is denser than lumbar bone, and a fresh fracture adds oedema."""
    roughness = Ripple.draw(rng, (8, 25), 3, 6)
    patches = Ripple.draw(rng, (9, 30), 3, 6)
    density = patient.trabecular * (1.18 - 0.18 * size.lumbar) * rng.normal(1, 0.06)
    density += fracture.oedema if fracture is not None else 0.0
    healed = fracture is not None and not fracture.spec.acute
    cortex = Cortex(patient.cortex, roughness, healed, patient.look.uneven)
    return Substance(density, patches, cortex)
