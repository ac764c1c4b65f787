"""Patients and scanners wider than real ones: domain randomisation of a case.

References: see `vfseg.synthesis.phantom.appearance`.
"""

from dataclasses import replace

import numpy as np

from vfseg.synthesis.phantom.appearance import draw_appearance
from vfseg.synthesis.phantom.motion import Motion
from vfseg.synthesis.phantom.scanner import Scanner
from vfseg.synthesis.phantom.spine import Patient

TRABECULAR_HU = (25.0, 330.0)
CORTEX_MM = (0.35, 1.3)
CONTRAST_HU = (60.0, 450.0)
CONTRAST_PROBABILITY = 0.5
BLUR_MM = (0.3, 1.1)
SHARPNESS = (0.0, 1.2)
NOISE_HU = (5.0, 60.0)
MOTION_PROBABILITY = 0.15
MOTION_MM = 3.0


def randomise_patient(rng: np.random.Generator, patient: Patient) -> Patient:
    """The patient with density, cortex, contrast medium and all tissues drawn anew, independently.

    Age and degeneration, which shape the anatomy, stay.
    """
    contrast = rng.uniform(*CONTRAST_HU) if rng.random() < CONTRAST_PROBABILITY else 0.0
    return replace(
        patient,
        trabecular=float(rng.uniform(*TRABECULAR_HU)),
        cortex=float(rng.uniform(*CORTEX_MM)),
        contrast=float(contrast),
        look=draw_appearance(rng),
    )


def randomise_scanner(rng: np.random.Generator, scanner: Scanner) -> Scanner:
    """The scanner with kernel and noise drawn from wide ranges, and sometimes a moving patient."""
    motion = None
    moves, (middle, extent), shift = rng.random(), rng.random(2), rng.uniform(-1, 1, 2)
    if moves < MOTION_PROBABILITY:
        forward, right = (float(mm) for mm in MOTION_MM * shift)
        motion = Motion(float(middle), float(0.1 + 0.4 * extent), (forward, right))
    return replace(
        scanner,
        blur=float(rng.uniform(*BLUR_MM)),
        sharpness=float(rng.uniform(*SHARPNESS)),
        noise_sd=float(rng.uniform(*NOISE_HU)),
        motion=motion,
    )
