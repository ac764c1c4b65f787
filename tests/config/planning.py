"""A data set in figures as plans are made from: the benchmark cohort, in round numbers."""

from tests.cohort import ROOT
from vfseg.audit.overview import Overview
from vfseg.config.derive import changed, load
from vfseg.config.rules import Machine
from vfseg.data.levels import LEVELS

RECIPE = ROOT / "configs" / "vertebral_fracture.py"
CPU = Machine("cpu", 1, 16e9)
GPU = Machine("gpu", 1, 80e9)
COHORT = Overview(
    cases=44,
    unusable=0,
    patients=44,
    voxel_spacing=(0.98, 0.93, 0.93),
    cube_mm=0.97,
    levels=LEVELS,
    vertebrae=44 * 14,
    training_vertebrae=24 * 14,
    lesions=160,
    training_lesions=87,
    reach_mm=23.4,
    thickness_mm=1.6,
    volume_ml=0.6,
    hounsfield=(-1024, 3071),
)


def recipe(**changes):
    """The full recipe, with dotted keys changed."""
    return changed(load(RECIPE), changes)
