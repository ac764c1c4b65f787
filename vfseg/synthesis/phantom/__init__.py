"""Synthetic spine CT with known fractures: what a user's data would look like, made from a seed.

A case is drawn from the inside out: `plan` (levels and their fractures), `spine` (sizes, curve,
place of each vertebra), `fractures` and `lookalikes` (how a vertebra differs from a healthy one),
`vertebra` (its bone as a signed distance), `tissue` (everything around), `painter` (from shapes to
HU, labels and mask), `hard_negatives` (further look-alikes, on request), `hardware` (metal and its
streaks), `scanner` (slice thickness, kernel, noise, orientation). `case` joins them, `cohort`
writes many as NIfTI with a manifest.
"""

from vfseg.synthesis.phantom.case import DrawnVertebra, PhantomCase, make_case
from vfseg.synthesis.phantom.cohort import case_seed, cohort_hash, make_cohort
from vfseg.synthesis.phantom.fractures import FractureSpec
from vfseg.synthesis.settings import PhantomSettings

__all__ = [
    "DrawnVertebra",
    "FractureSpec",
    "PhantomCase",
    "PhantomSettings",
    "case_seed",
    "cohort_hash",
    "make_case",
    "make_cohort",
]
