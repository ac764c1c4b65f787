"""Cases and cohorts from settings written as plain dicts."""

from vfseg.synthesis import phantom, virtual_fractures
from vfseg.synthesis.phantom import PhantomSettings
from vfseg.synthesis.virtual_fractures import VirtualFractureSettings


def _phantom(settings):
    return PhantomSettings(**settings) if isinstance(settings, dict) else settings


def make_case(seed, settings=None, fractures=None):
    return phantom.make_case(seed, _phantom(settings), fractures)


def make_cohort(directory, settings=None, *, progress=True):
    return phantom.make_cohort(directory, _phantom(settings), progress)


def make_virtual_cohort(cases, folder, settings, *, progress=True):
    settings = VirtualFractureSettings(**settings)
    return virtual_fractures.make_virtual_cohort(cases, folder, settings, progress)
