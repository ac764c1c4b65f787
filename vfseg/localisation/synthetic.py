"""Cases to learn from: drawn spines in a drawn body, and the bones of label maps in one."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from vfseg.data.box import box_between
from vfseg.data.volume import Volume
from vfseg.localisation.coarse import KEPT_MM, CoarseCase, coarse
from vfseg.localisation.labelled import body_points
from vfseg.localisation.levels import NAMES, STEP_MM
from vfseg.localisation.torso import draw_torso, nearness, paint_skeleton, paint_torso
from vfseg.synthesis.phantom.case import draw_anatomy
from vfseg.synthesis.phantom.painter import Painter
from vfseg.synthesis.phantom.plan import draw_fractures, random_streams
from vfseg.synthesis.phantom.randomise import randomise_patient
from vfseg.synthesis.phantom.shapes import Frame, Grid, Ripple
from vfseg.synthesis.phantom.spine import (
    SPINE,
    Patient,
    PlacedVertebra,
    Size,
    draw_patient,
    turned_axes,
    usual_size,
)
from vfseg.synthesis.phantom.tissue import paint_disc, paint_surroundings
from vfseg.synthesis.settings import PhantomSettings

# Height, depth and width of the bodies above T3, mm; disc below; degrees by which the top leans
# further back than that of the next vertebra below.
_UPPER = {
    "T2": (17.0, 19.0, 27.0, 3.8, -2.0), "T1": (16.5, 18.0, 29.0, 4.0, 2.0),
    "C7": (14.5, 17.0, 27.0, 4.5, 5.0), "C6": (13.0, 17.0, 25.0, 5.0, 8.0),
    "C5": (13.0, 16.5, 23.0, 5.0, 7.0), "C4": (13.0, 16.5, 22.0, 5.0, 6.0),
    "C3": (13.5, 16.5, 21.0, 5.0, 4.0),
}  # fmt: skip
_SACRAL_TILT, _SACRAL_DISC_MM = (-28.0, -12.0), 10.0  # degrees and mm below L5
_BELOW_MM, _ABOVE_MM = (150.0, 230.0), (60.0, 130.0)
_AROUND_MM = ((95.0, 240.0), (175.0, 175.0))


def draw_case(seed: int | np.random.SeedSequence, name: str) -> CoarseCase:
    """A drawn spine, C3 to S1, in a drawn body; equal arguments give equal voxels."""
    rng = random_streams(seed)
    levels = SPINE[1:-1]
    settings = PhantomSettings(fracture_probability=0.15)
    specs = draw_fractures(rng, levels, settings)
    patient = randomise_patient(rng["randomised"], draw_patient(rng["spine"], 1))
    spine, drawn = draw_anatomy(rng, SPINE, specs, patient, 0.0)
    spine = [*_upper(rng["rare"], spine[0]), *spine]
    grid, shift = _grid(rng["scanner"], spine)
    spine = [replace(v, frame=v.frame.moved(shift)) for v in spine]
    painter, torso = _body(rng, grid, spine, patient)
    for upper, lower in itertools.pairwise(spine):
        paint_disc(rng["tissue"], painter.hu, grid, upper, lower, patient)
    for vertebra in spine:
        painter.vertebra(vertebra, 0, drawn.get(vertebra.level), rng["lookalikes"])
    paint_skeleton(rng["hard_negatives"], painter, grid, torso, spine)
    points = {v.level: v.frame.centre / KEPT_MM for v in spine}
    return CoarseCase(name, _finished(painter.hu), points, (0.0, grid.shape[0]), np.zeros((0, 3)))


def _upper(rng: np.random.Generator, third: PlacedVertebra) -> list[PlacedVertebra]:
    """C3 to T2 above the T3 of a drawn spine."""
    scale = third.size.height / usual_size("T3").height
    bend = rng.uniform(0.5, 1.6)
    chain = [third]
    for level, (height, depth, width, disc, lean) in _UPPER.items():
        below = chain[-1]
        size = replace(
            third.size, height=scale * height, depth=scale * depth, width=scale * width, wedge=0.0
        )
        axes = turned_axes(bend * lean + rng.normal(0, 1.5), rng.normal(0, 1), 0) @ below.frame.axes
        chain.append(_stacked(below, level, size, axes, scale * disc))
    return chain[:0:-1]


def _stacked(
    other: PlacedVertebra, level: str, size: Size, axes: np.ndarray, disc: float
) -> PlacedVertebra:
    """A vertebra on top of another; beneath it where the disc is negative."""
    side = 1.0 if disc > 0 else -1.0
    between = axes[0] + other.frame.axes[0]
    centre = (
        other.frame.centre
        + side * other.frame.axes[0] * other.size.height / 2
        + between / np.linalg.norm(between) * disc
        + side * axes[0] * size.height / 2
    )
    return PlacedVertebra(level, size, Frame(centre, axes))


def _grid(rng: np.random.Generator, spine: Sequence[PlacedVertebra]) -> tuple[Grid, np.ndarray]:
    """A grid around a spine, and how far the spine moves so that its first voxel is at 0 mm."""
    places = np.array([v.frame.centre for v in spine])
    middle = places.mean(0)
    first = middle - np.array([0, _AROUND_MM[0][0], _AROUND_MM[1][0]])
    last = middle + np.array([0, _AROUND_MM[0][1], _AROUND_MM[1][1]])
    first[0] = places[:, 0].min() - rng.uniform(*_BELOW_MM)
    last[0] = places[:, 0].max() + rng.uniform(*_ABOVE_MM)
    d, h, w = (int(n) for n in np.ceil((last - first) / KEPT_MM))
    return Grid((d, h, w), np.full(3, KEPT_MM), np.zeros(3)), -first


def _body(
    rng: Mapping[str, np.random.Generator],
    grid: Grid,
    spine: Sequence[PlacedVertebra],
    patient: Patient,
):
    """The volume of a body without bones, in the hands of a painter, and its torso."""
    centres = {v.level: v.frame.centre for v in spine}
    torso = draw_torso(rng["plan"], grid, centres)
    hu = paint_torso(rng["tissue"], grid, torso, centres)
    near = [v for v in spine if v.level in SPINE]
    around = np.array([v.frame.centre for v in near])
    box = grid.box(
        np.array([around.min(0) - np.array([30, 95, 62]), around.max(0) + np.array([25, 58, 62])]),
        0,
    )
    assert box is not None
    size = tuple(s.stop - s.start for s in box)
    part = Grid(size, grid.spacing, grid.spacing * [s.start for s in box])  # type: ignore[arg-type]
    own = paint_surroundings(rng["tissue"], part, near, patient)
    weight = nearness(part, near) * (own > -980) * (hu[box] > -980)
    hu[box] += weight * (own - hu[box])
    return Painter(grid, hu, patient, rng["texture"], False), torso


def _finished(hu: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(hu, -1024, 3071)).astype(np.int16)


def paint_map(labels: Volume, seed: int | np.random.SeedSequence, name: str) -> CoarseCase:
    """The bones of a label map in a drawn body; equal arguments give equal voxels.

    The field of view ends above the highest whole vertebra, since bones are missing beyond it; a
    drawn sacrum stands in below L5, which the map must show.

    Args:
        labels: with L5 in it.
        seed: of this case.
        name: of the case.

    Raises:
        UserError: as in `body_points`.
    """
    rng = random_streams(seed)
    patient = randomise_patient(rng["randomised"], draw_patient(rng["spine"], 1))
    points, doubtful = body_points(labels, name)
    spacing = labels.voxel_spacing
    spine = _chain({level: place * spacing for level, place in points.items()})
    size = replace(usual_size("S1"), concavity=(1.5, 1.5))
    axes = turned_axes(rng["rare"].uniform(*_SACRAL_TILT), 0, 0) @ spine[-1].frame.axes
    spine.append(_stacked(spine[-1], "S1", size, axes, -_SACRAL_DISC_MM))
    grid, shift = _grid(rng["scanner"], spine)
    spine = [replace(v, frame=v.frame.moved(shift)) for v in spine]
    painter, torso = _body(rng, grid, spine, patient)
    for upper, lower in itertools.pairwise(spine):
        paint_disc(rng["tissue"], painter.hu, grid, upper, lower, patient)
    painter.vertebra(spine[-1], 0, None, rng["lookalikes"])
    paint_skeleton(rng["hard_negatives"], painter, grid, torso, spine)
    share = coarse((labels.array > 0).astype(np.float32), spacing, KEPT_MM, fill=0.0)
    _paint_bones(rng["texture"], painter, share, shift)
    end = spine[0].frame.centre[0] + 0.55 * STEP_MM[NAMES.index(spine[0].level)]
    end = int(end / KEPT_MM)
    places = {v.level: v.frame.centre / KEPT_MM for v in spine}
    beyond = (doubtful * spacing + shift) / KEPT_MM
    return CoarseCase(name, _finished(painter.hu[:end]), places, (0.0, end), beyond)


def _paint_bones(
    rng: np.random.Generator, painter: Painter, share: np.ndarray, shift: np.ndarray
) -> None:
    """Paints bones into the volume of a painter.

    Args:
        rng: of their texture.
        painter: of a grid of `KEPT_MM`.
        share: `d h w`, how much of each voxel of `KEPT_MM` is bone.
        shift: [3] mm, where its first voxel lies.
    """
    first = np.rint(shift / KEPT_MM).astype(int)
    share = ndimage.shift(share, shift / KEPT_MM - first, order=1)
    low = np.maximum(first, 0)
    high = np.minimum(first + share.shape, painter.hu.shape)
    view = painter.hu[box_between(low, high)]
    part = share[box_between(low - first, high - first)]
    core = np.clip(2 * ndimage.gaussian_filter(part, 0.8) - 1, 0, 1)
    axes = np.meshgrid(
        *(KEPT_MM * np.arange(n, dtype=np.float32) for n in part.shape), indexing="ij", sparse=True
    )
    grain = Ripple.draw(rng, (9, 30), 3, 5).at(*axes)
    spongy = painter.patient.trabecular * (1 + 0.15 * grain)
    shell = spongy + painter.patient.cortex * rng.uniform(200, 450)
    view += part * (shell + core * (spongy - shell) - view)


def _chain(centres: Mapping[str, np.ndarray]) -> list[PlacedVertebra]:
    """Bodies of usual size in the scale of a spine, upright on the line of their middles."""
    levels = list(centres)
    places = np.array([centres[level] for level in levels])
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    usual = [STEP_MM[NAMES.index(level)] for level in levels[:-1]]
    scale = float(np.median(steps / usual))
    up = -np.gradient(places, axis=0)
    up /= np.linalg.norm(up, axis=1, keepdims=True)
    chain = []
    for level, place, along in zip(levels, places, up):
        front = np.array([0.0, 1, 0]) - along[1] * along
        front /= np.linalg.norm(front)
        axes = np.stack([along, front, np.cross(front, along)])
        if axes[2, 2] < 0:
            axes[2] = -axes[2]
        if level in SPINE:
            size = usual_size(level)
        else:
            height, depth, width, *_ = _UPPER.get(level, _UPPER["C3"])
            size = replace(usual_size("T3"), height=height, depth=depth, width=width, wedge=0.0)
        size = replace(size, height=scale * size.height, depth=scale * size.depth,
                       width=scale * size.width)  # fmt: skip
        chain.append(PlacedVertebra(level, size, Frame(place, axes)))
    return chain
