"""A data set in figures as plans are made from: the benchmark cohort, as `vfseg plan` reads it."""

from tests.cohort import ROOT
from vfseg.audit.overview import Overview
from vfseg.config.derive import changed, load
from vfseg.config.rules import Machine
from vfseg.data.schemes import LEVELS

RECIPE = ROOT / "configs" / "vertebral_fracture.py"
CPU = Machine("cpu", 1, 16e9)
GPU = Machine("gpu", 1, 80e9)
COHORT = Overview(
    cases=44,
    unusable=0,
    patients=44,
    voxel_spacing=(0.976, 0.986, 0.986),
    cube_mm=0.98,
    levels=LEVELS,
    vertebrae=44 * 14,
    training_vertebrae=24 * 14,
    lesions=231,
    training_lesions=131,
    reach_mm=24.0,
    thickness_mm=1.6,
    volume_ml=0.95,
    hounsfield=(-2000, 3071),
)


def recipe(**changes):
    """The full recipe, with dotted keys changed."""
    return changed(load(RECIPE), changes)
