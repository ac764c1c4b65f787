"""One painted case: from a label map and a seed to a CT, its label map and its fracture mask."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vfseg.synthesis.painted.field import draw_acquisition, draw_field
from vfseg.synthesis.painted.scene import Scene, draw_scene
from vfseg.synthesis.painted.shape import PlacedBone, plain_bone, shape_vertebra
from vfseg.synthesis.painted.source import Source
from vfseg.synthesis.phantom.case import DrawnVertebra, PhantomCase, scanned
from vfseg.synthesis.phantom.fractures import Fracture
from vfseg.synthesis.phantom.hardware import draw_hardware, paint_metal
from vfseg.synthesis.phantom.lookalikes import draw_lookalikes
from vfseg.synthesis.phantom.painter import Painter
from vfseg.synthesis.phantom.plan import draw_fractures, random_streams
from vfseg.synthesis.phantom.randomise import randomise_patient, randomise_scanner
from vfseg.synthesis.phantom.scanner import Scanner
from vfseg.synthesis.phantom.shapes import Grid
from vfseg.synthesis.phantom.spine import Patient, draw_patient
from vfseg.synthesis.phantom.substance import draw_substance
from vfseg.synthesis.phantom.tissue import paint_disc, paint_surroundings
from vfseg.synthesis.settings import PaintedSettings

HARDWARE_PROBABILITY = 0.08
FEWEST_LEVELS = 3
THINNEST_SHOWN_MM = 1.0
"""A voxel is marked where a sheet fills so much of its thickness, or half of it."""


def paint_case(
    source: Source, seed: int | np.random.SeedSequence, settings: PaintedSettings
) -> PhantomCase:
    """Paints a CT from a label map; equal arguments give equal voxels.

    Its voxels lie on the axes of the label map, in places of their own; a vertebra lies where it
    lay, unless one below it lost height. Tissue, vessels, cortex, texture, kernel, noise, spacing
    and field of view are drawn from ranges wider than real ones.

    Args:
        source: the label map.
        seed: of this case.
        settings: how often vertebrae break.
    """
    rng = random_streams(seed)
    levels = _draw_levels(rng["plan"], source.whole)
    specs = draw_fractures(rng, levels, settings.fractures())
    patient = draw_patient(rng["spine"], sum(s is not None and s.acute for s in specs.values()))
    patient = randomise_patient(rng["randomised"], patient)
    scanner = randomise_scanner(rng["randomised"], draw_acquisition(rng["scanner"], source.volume))
    scene = draw_scene(rng["fractures"], source, specs, patient)
    grid, scanner = _field(rng["scanner"], source, scene, levels, scanner)

    spine = scene.spine
    hu = paint_surroundings(rng["tissue"], grid, spine, patient)
    for above, below in itertools.pairwise(scene.bones):
        if above.vertebra is not None and below.vertebra is not None:
            paint_disc(rng["tissue"], hu, grid, above.vertebra, below.vertebra, patient)
    painter = Painter(grid, hu, patient, rng["texture"], True)
    facts = [
        fact
        for placed in scene.bones
        if (fact := _paint(painter, grid, placed, scene, (patient, rng["lookalikes"])))
    ]
    for vertebra in spine:
        painter.ribs(vertebra, rng["lookalikes"])
    metal = draw_hardware(rng["rare"], spine, specs, HARDWARE_PROBABILITY)
    paint_metal(rng["rare"], painter.hu, grid, spine, metal)

    share = min(0.5, THINNEST_SHOWN_MM / float(scanner.voxel_spacing.max()) - 1e-6)
    return scanned(rng["noise"], painter, scanner, facts, metal, share)


def _draw_levels(rng: np.random.Generator, whole: Sequence[str]) -> list[str]:
    """A part of the spine: `FEWEST_LEVELS` to all of its whole vertebrae, in a row."""
    count = int(rng.integers(min(FEWEST_LEVELS, len(whole)), len(whole) + 1))
    start = int(rng.integers(0, len(whole) + 1 - count))
    return list(whole[start : start + count])


def _field(
    rng: np.random.Generator,
    source: Source,
    scene: Scene,
    levels: Sequence[str],
    scanner: Scanner,
) -> tuple[Grid, Scanner]:
    """The field of view around the chosen levels; it ends where the map cuts the spine."""
    centres = np.array([v.frame.centre for v in scene.spine if v.level in levels])
    spacing = float(source.volume.voxel_spacing[0])
    bottom, top = -spacing / 2, (source.volume.shape[0] - 0.5) * spacing
    sunk = max(
        float((b.bone.frame.centre - b.moved.point(b.bone.frame.centre))[0])
        for b in scene.bones
        if b.bone is not None
    )
    limits = (
        bottom if source.ends[0] else -np.inf,
        top - 1.5 * max(sunk, 0.0) if source.ends[1] else np.inf,
    )
    return draw_field(rng, centres, limits, scanner)


def _paint(
    painter: Painter,
    grid: Grid,
    placed: PlacedBone,
    scene: Scene,
    owner: tuple[Patient, np.random.Generator],
) -> DrawnVertebra | None:
    """Paints one bone; says what was drawn where it is a vertebra that the label map shows."""
    patient, rng = owner
    bone, vertebra = placed.bone, placed.vertebra
    if bone is None:
        if vertebra is not None:
            painter.vertebra(vertebra, 0, None, rng)
        return None
    if vertebra is None:
        shape = plain_bone(grid, placed, patient.cortex)
        if shape is not None:
            painter.plain(shape, bone.label)
        return None
    fracture: Fracture | None = scene.fractures.get(bone.name)
    healed = bone.deformed or (fracture is not None and not fracture.spec.acute)
    extras = draw_lookalikes(rng, vertebra.size, patient, healed, True)
    substance = draw_substance(rng, patient, vertebra.size, fracture)
    substance = replace(substance, cortex=replace(substance.cortex, healed=healed))
    shapes = shape_vertebra(grid, placed, fracture, extras, substance.cortex)
    if shapes is None:
        return None
    instances = painter.shaped(*shapes, bone.label, fracture, extras, substance)
    if not bone.label:
        return None
    return DrawnVertebra(
        bone.name, bone.label, vertebra.frame, vertebra.size,
        fracture.spec if fracture is not None else None,
        instances, extras.names, substance.density,
    )  # fmt: skip
