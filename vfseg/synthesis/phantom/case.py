"""One synthetic case: from a seed to a CT, a vertebra label map and a fracture mask."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vfseg.data.geometry import geometry_from
from vfseg.data.schemes import SCHEMES
from vfseg.data.volume import Volume
from vfseg.synthesis.phantom.fractures import Fracture, FractureSpec, draw_fracture
from vfseg.synthesis.phantom.hard_negatives import draw_curve, paint_hard_negatives
from vfseg.synthesis.phantom.hardware import draw_hardware, paint_metal
from vfseg.synthesis.phantom.painter import Painter
from vfseg.synthesis.phantom.plan import draw_plan, random_streams
from vfseg.synthesis.phantom.randomise import randomise_patient, randomise_scanner
from vfseg.synthesis.phantom.scanner import (
    Scanner,
    acquire,
    average_labels,
    draw_scanner,
    stored_affine,
)
from vfseg.synthesis.phantom.shapes import Frame, Grid
from vfseg.synthesis.phantom.spine import (
    SPINE,
    Patient,
    PlacedVertebra,
    Size,
    draw_patient,
    draw_spine,
    with_transitional,
)
from vfseg.synthesis.phantom.tissue import paint_disc, paint_surroundings
from vfseg.synthesis.settings import PhantomSettings

VERSE_LABELS = {level: label for label, level in SCHEMES["verse"].items()}
VERSE_LABELS |= {"T13": 28, "L6": 25}


@dataclass(frozen=True, eq=False)
class DrawnVertebra:
    """What was drawn at one labelled level: for tests and reports, never for training.

    Attributes:
        level, label: "L1" (or "T13", "L6") and its VerSe id.
        frame: position of the body in mm from voxel (0, 0, 0) along d, h, w.
        size: intact size, before any fracture.
        spec: the fracture or old deformity, or None.
        instances: ids in the fracture mask that belong to this vertebra.
        lookalikes: names of the look-alikes that may be seen.
        trabecular: HU of its trabecular bone before look-alikes.
    """

    level: str
    label: int
    frame: Frame
    size: Size
    spec: FractureSpec | None
    instances: tuple[int, ...]
    lookalikes: tuple[str, ...]
    trabecular: float


@dataclass(frozen=True, eq=False)
class PhantomCase:
    """A synthetic case.

    Attributes:
        ct: int16 HU.
        vertebrae: uint8, VerSe ids (T4 = 11 .. L5 = 24, rarely L6 = 25 and T13 = 28).
        fractures: uint8, fracture instances 1..n of the case.
        facts: one entry per labelled vertebra, cranial to caudal.
        patient, scanner: what was drawn for the whole case.
        hardware: levels with pedicle screws, cranial to caudal.
    """

    ct: Volume
    vertebrae: Volume
    fractures: Volume
    facts: tuple[DrawnVertebra, ...]
    patient: Patient
    scanner: Scanner
    hardware: tuple[str, ...]


def make_case(
    seed: int | np.random.SeedSequence,
    settings: PhantomSettings | None = None,
    fractures: Mapping[str, FractureSpec | None] | None = None,
) -> PhantomCase:
    """Makes a case; equal arguments give equal voxels.

    Args:
        seed: of this case. Anatomy, fractures, look-alikes, tissue and scanner draw from streams
            of their own, so a change in one leaves the others alone.
        settings: what a cohort holds.
        fractures: level -> fracture, in place of the random draw; levels that are not named stay
            whole. The case must hold the levels, so let `levels_per_case` cover all of `levels`.

    Raises:
        UserError: a fracture is asked for at a level outside the case.
    """
    settings = settings or PhantomSettings()
    rng = random_streams(seed)
    levels, specs, extra = draw_plan(rng, settings, fractures)
    patient = draw_patient(rng["spine"], sum(s is not None and s.acute for s in specs.values()))
    scanner = draw_scanner(rng["scanner"], settings)
    if settings.randomised:
        patient = randomise_patient(rng["randomised"], patient)
        scanner = randomise_scanner(rng["randomised"], scanner)
    first, last = SPINE.index(levels[0]), SPINE.index(levels[-1])
    visible = with_transitional(SPINE[first - 1 : last + 2], extra)
    labelled = with_transitional(levels, extra)
    curve = draw_curve(rng["hard_negatives"], settings.hard_negatives)
    spine, drawn = draw_anatomy(rng, visible, specs, patient, curve)
    grid, spine = _field_of_view(rng["scanner"], spine, labelled, scanner)

    hu = paint_surroundings(rng["tissue"], grid, spine, patient)
    for upper, lower in itertools.pairwise(spine):
        paint_disc(rng["tissue"], hu, grid, upper, lower, patient)
    painter = Painter(grid, hu, patient, rng["texture"], settings.across_slices_fraction > 0)
    facts = []
    for vertebra in spine:
        label = VERSE_LABELS[vertebra.level] if vertebra.level in labelled else 0
        fracture = drawn.get(vertebra.level)
        painted = painter.vertebra(vertebra, label, fracture, rng["lookalikes"])
        if label:
            spec = fracture.spec if fracture else None
            facts.append(
                DrawnVertebra(vertebra.level, label, vertebra.frame, vertebra.size, spec, *painted)
            )
    for vertebra in spine:
        painter.ribs(vertebra, rng["lookalikes"])
    whole = {fact.level: fact.label for fact in facts if fact.spec is None}
    added = paint_hard_negatives(
        rng["hard_negatives"], painter, grid, spine, whole, settings.hard_negatives
    )
    curved = ("scoliosis",) if curve else ()
    facts = [
        replace(
            f, lookalikes=tuple(dict.fromkeys((*f.lookalikes, *added.get(f.level, ()), *curved)))
        )
        for f in facts
    ]
    metal = draw_hardware(rng["rare"], spine, specs, settings.hardware_probability)
    paint_metal(rng["rare"], painter.hu, grid, spine, metal)

    return scanned(rng["noise"], painter, scanner, facts, metal)


def scanned(
    rng: np.random.Generator,
    painter: Painter,
    scanner: Scanner,
    facts: Sequence[DrawnVertebra],
    hardware: tuple[str, ...],
    share: float = 0.5,
) -> PhantomCase:
    """The case of what was painted, in the voxels of a scanner.

    Args:
        rng: of the noise.
        painter: that is done.
        scanner: fixes voxels, kernel and noise.
        facts: of the vertebrae that were drawn.
        hardware: see `PhantomCase`.
        share: of its thickness that a fracture must fill to mark a voxel.
    """
    ct = acquire(rng, painter.hu, scanner)
    mask, numbered = _renumbered(average_labels(painter.mask, scanner.layers, share), facts)
    geometry = geometry_from(*stored_affine(scanner, ct.shape))
    return PhantomCase(
        ct=Volume(ct, geometry),
        vertebrae=Volume(average_labels(painter.labels, scanner.layers), geometry),
        fractures=Volume(mask, geometry),
        facts=tuple(numbered),
        patient=painter.patient,
        scanner=scanner,
        hardware=hardware,
    )


def _renumbered(
    mask: np.ndarray, facts: Sequence[DrawnVertebra]
) -> tuple[np.ndarray, list[DrawnVertebra]]:
    """Numbers the instances 1..n anew: a thin sheet can be lost in thick slices."""
    present = np.flatnonzero(np.bincount(mask.ravel()))[1:]
    number = {int(old): new for new, old in enumerate(present, 1)}
    table = np.zeros(256, np.uint8)
    table[present] = np.arange(1, len(present) + 1)
    kept = [
        replace(f, instances=tuple(number[i] for i in f.instances if i in number)) for f in facts
    ]
    return table[mask], kept


def draw_anatomy(
    rng: Mapping[str, np.random.Generator],
    visible: Sequence[str],
    specs: Mapping[str, FractureSpec | None],
    patient: Patient,
    curve: float,
) -> tuple[list[PlacedVertebra], dict[str, Fracture]]:
    """Draws the spine twice from one stream: sizes for the fractures, then with them settled."""
    state = rng["spine"].bit_generator.state
    intact = draw_spine(rng["spine"], visible, patient, {}, curve)
    drawn = {}
    for vertebra in intact:
        spec = specs.get(vertebra.level)
        if spec is not None:
            drawn[vertebra.level] = draw_fracture(
                rng["fractures"], spec, vertebra.size, patient.trabecular
            )
    settling = {v.level: drawn[v.level].settling(v.size) for v in intact if v.level in drawn}
    rng["spine"].bit_generator.state = state
    return draw_spine(rng["spine"], visible, patient, settling, curve), drawn


def _field_of_view(
    rng: np.random.Generator,
    spine: Sequence[PlacedVertebra],
    levels: Sequence[str],
    scanner: Scanner,
) -> tuple[Grid, list[PlacedVertebra]]:
    """A grid around the labelled bodies, and the spine moved so that voxel (0, 0, 0) is at 0 mm."""
    centres = np.array([v.frame.centre for v in spine if v.level in levels])
    behind, ahead, beside = rng.uniform(88, 112), rng.uniform(42, 58), rng.uniform(48, 58)
    below, above = rng.uniform(36, 44), rng.uniform(26, 36)  # spinous processes hang down
    low = centres.min(0) - np.array([below, behind, beside])
    high = centres.max(0) + np.array([above, ahead, beside])
    shape = np.ceil((high - low) / scanner.voxel_spacing).astype(int)
    spacing = scanner.voxel_spacing / scanner.layers
    d, h, w = (int(n) for n in shape * scanner.layers)
    grid = Grid(
        shape=(d, h, w),
        spacing=spacing,
        origin=(spacing - scanner.voxel_spacing) / 2,
    )
    moved = [PlacedVertebra(v.level, v.size, v.frame.moved(-low)) for v in spine]
    return grid, moved
