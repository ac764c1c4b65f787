"""A small CT with two box-shaped vertebrae, fractures in them, and maps of any quality."""

import functools

import numpy as np

from vfseg.data.box import whole
from vfseg.data.cases import Case
from vfseg.data.geometry import geometry_from
from vfseg.data.instances import separated
from vfseg.data.levels import Vertebra
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.evaluation.case_scores import KnownCase, measure_case
from vfseg.evaluation.metrics import ScoreHistogram
from vfseg.evaluation.slices import SliceScores, slice_units
from vfseg.evaluation.truth import KnownFractures
from vfseg.inference.case_map import Slab
from vfseg.inference.thresholds import Thresholds, VerdictRule
from vfseg.inference.views import View

SHAPE = (40, 24, 24)
SPACING = 2.0  # mm: 8 mm3 a voxel
BODIES = {"L1": (22, 38), "L2": (2, 18)}  # d, first and last + 1; h and w are 4 to 20
LABELS = {"L1": 20, "L2": 21}
RULE = VerdictRule(both=(0.0, 1.0, 1.0), map=(0.0, 1.0), heights=None, review=0.4, likely=0.6)
THRESHOLDS = Thresholds(
    slice=0.5, fused=0.5, vertebra=0.3, vertebra_rule="Youden index", temperature=2.0, verdict=RULE
)


def _spine():
    geometry = geometry_from(SHAPE[::-1], np.diag([SPACING, SPACING, SPACING, 1]))
    labels = np.zeros(SHAPE, np.uint8)
    vertebrae = []
    for level, (first, last) in BODIES.items():
        labels[first:last, 4:20, 4:20] = LABELS[level]
        start, stop = (first, 4, 4), (last, 20, 20)
        centre, volume_ml = (np.array(start) + stop - 1) / 2, 16**3 * SPACING**3 / 1000
        # "cut": boxes have no heights worth the time of measuring them.
        vertebrae.append(
            Vertebra(level, LABELS[level], start, stop, centre, 16**3, volume_ml, ("cut",))
        )
    return Spine(tuple(vertebrae), Volume(labels, geometry), [20, 21], ())


SPINE = _spine()


def sheet(*places):
    """Instances 1, 2, ...: sheets of 2 x 10 x 10 voxels (1.6 mL) from these d on."""
    truth = np.zeros(SHAPE, np.uint8)
    for number, d in enumerate(places, 1):
        truth[d : d + 2, 7:17, 7:17] = number
    return truth


def measured(
    truth,
    probability,
    name="case",
    *,
    thresholds=THRESHOLDS,
    patient=None,
    marked=True,
    spine=SPINE,
    outside=None,
):
    """CaseScores of a map whose crops cover all but the outermost voxels."""
    region = np.zeros(SHAPE, bool)
    region[1:-1, 1:-1, 1:-1] = True
    probability = np.where(region, probability, 0).astype(np.float32)
    ct = Volume(np.full(SHAPE, 100, np.int16), SPINE.labels.geometry)
    case = Case(name, patient or name, None)
    fractures = KnownFractures(separated(truth, marked), {}, {})
    histogram = ScoreHistogram()
    histogram.add(probability, truth, region)
    units = slice_units(probability[None], truth[None], View(0, False, (0, 0, 0)))
    return measure_case(
        KnownCase(case, f"fingerprint of {name}", ct, spine, fractures, outside),
        SliceScores(histogram, tuple(units)),
        Slab(probability, region, None),
        whole(SHAPE),
        thresholds,
    )


@functools.cache
def cohort(seed, quality, cases=6):
    """CaseScores of cases of one or two fractures each (every third has none), seen more or less.

    The same seed gives the same truth and the same noise.
    """
    rng = np.random.default_rng(seed)
    scores = []
    for number in range(cases):
        places = [(6, 28), (10,), ()][number % 3]
        truth = sheet(*places)
        noise = rng.random(SHAPE)
        seen = quality * (0.5 + 0.5 * rng.random()) * (truth > 0)
        probability = np.rint(50 * np.clip(0.55 * noise**4 + seen, 0, 1)) / 50  # few steps: fast
        scores.append(measured(truth, probability, f"case{number}"))
    return scores
