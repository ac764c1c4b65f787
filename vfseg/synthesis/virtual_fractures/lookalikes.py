"""What resembles a fracture and is none, painted or warped into a whole vertebra of a real CT.

The fracture mask stays as it is. The noise of the CT stays, too: only its smoothed level changes.
`docs/look-alikes.md` says what each looks like and where that is known from.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from vfseg.data.anatomy import LabelReading
from vfseg.synthesis.phantom.fractures import FractureSpec
from vfseg.synthesis.phantom.hard_negatives import (
    CONTRAST_HU,
    GAS_HU,
    gas_in_disc,
    segmental_vessel,
    vein_rods,
)
from vfseg.synthesis.phantom.lookalikes import Dent, Haemangioma, LookAlikes, Sclerosis, Spot
from vfseg.synthesis.phantom.shapes import Ripple, Rod, coverage, ramp
from vfseg.synthesis.seeds import fresh
from vfseg.synthesis.virtual_fractures.body import size_of
from vfseg.synthesis.virtual_fractures.canvas import Canvas, painted_on
from vfseg.synthesis.virtual_fractures.fracture import break_body, draw_in_body
from vfseg.synthesis.virtual_fractures.site import LabelledCT, open_site

_BLOOD_HU = 35.0


@dataclass(frozen=True)
class LookAlikeFacts:
    """What was made of one vertebra.

    Attributes:
        level, label: "L1" and its id in the label map.
        name: one of `NAMES`.
        grade: Genant grade, by the height that was lost; 0 of all but deformities.
    """

    level: str
    label: int
    name: str
    grade: int


def _schmorl_node(rng: np.random.Generator, canvas: Canvas) -> None:
    body = canvas.site.body
    node = Dent(
        side=int(rng.choice((-1, 1))),
        front=float(rng.uniform(-0.5, 0.3)) * body.depth / 2,
        right=float(rng.uniform(-0.35, 0.35)) * body.width / 2,
        depth=float(rng.uniform(3.0, 5.5)),
        radius=float(rng.uniform(3.0, 5.0)),
    )
    extras = LookAlikes(nodes=(node,))
    up, front, right = canvas.local
    pit = np.asarray(extras.dents(front, right, node.side))
    depth = canvas.top - up if node.side > 0 else up - canvas.bottom
    painted = canvas.hu.copy()
    extras.paint(painted, canvas.local, *((depth - pit,) * 2), canvas.site.width)
    canvas.pull(painted, canvas.body * (depth > 0))
    hole = coverage(depth - pit, canvas.site.width) * ramp(pit, 0.3, 1.2)
    hole *= ramp(depth, -canvas.site.halo, 0)
    own = canvas.labels == canvas.site.vertebra.label
    canvas.pull(canvas.disc, hole * (own | canvas.free))
    canvas.labels[own & (hole >= 0.5)] = 0


def _worn_disc(rng: np.random.Generator, canvas: Canvas) -> None:
    body = canvas.site.body
    canvas.paint_inside(LookAlikes(scleroses=(_sclerosis(rng, canvas),)))
    up, front, right = canvas.local
    gap = canvas.gap(0.0, 0.0)
    place = (up - canvas.top - np.float32(gap / 2), front, right)
    gas = gas_in_disc(rng, place, (gap, body.depth, body.width), canvas.site.width)
    canvas.pull(GAS_HU, gas * canvas.free)


def _sclerosis(rng: np.random.Generator, canvas: Canvas) -> Sclerosis:
    body = canvas.site.body
    return Sclerosis(
        side=1,
        front=float(rng.uniform(-0.3, 0.5)) * body.depth / 2,
        right=float(rng.uniform(-0.5, 0.5)) * body.width / 2,
        radius=float(rng.uniform(0.6, 1.0)) * body.depth / 2,
        depth=float(rng.uniform(4, 9)),
        hounsfield=float(rng.uniform(90, 300)),
        outline=Ripple.draw(rng, (6, 15), 2),
    )


def _inside(rng: np.random.Generator, canvas: Canvas, extent: float) -> tuple[float, float, float]:
    body = canvas.site.body
    u, f, r = rng.uniform(-extent, extent, 3) * (
        float(body.heights().mean()) / 2, 0.8 * body.depth / 2, 0.8 * body.width / 2
    )  # fmt: skip
    return float(u), float(f), float(r)


def _haemangioma(rng: np.random.Generator, canvas: Canvas) -> None:
    centre = _inside(rng, canvas, 0.4)
    region = Haemangioma(centre, float(rng.uniform(5, 9)), Ripple.draw(rng, (3.5, 5.5), 2, 7))
    canvas.paint_inside(LookAlikes(haemangiomas=(region,)))


def _bone_island(rng: np.random.Generator, canvas: Canvas) -> None:
    half_axes = rng.uniform(2.0, 3.5) * rng.uniform(0.7, 1.2, 3)
    spot = Spot(_inside(rng, canvas, 0.7), tuple(half_axes), float(rng.uniform(250, 500)))
    canvas.paint_inside(LookAlikes(spots=(spot,)))


def _limbus(rng: np.random.Generator, canvas: Canvas) -> None:
    """A corner parted from the body by a dark cleft."""
    up, front, right = canvas.rim(1, float(rng.normal(0, 0.25)))
    thickness = max(0.8, 0.4 * canvas.site.width)
    cleft = Rod((up - 7, front + 1, right), (up + 1, front - 7, right), (7.0, thickness), (0, 0, 1))
    canvas.canal(cleft, min(canvas.disc, canvas.site.trabecular - 60), canvas.body)


def _basivertebral_vein(rng: np.random.Generator, canvas: Canvas) -> None:
    """A canal from the middle of the posterior wall that forks: dark, or full of contrast."""
    value = float(rng.uniform(*CONTRAST_HU)) if rng.random() < 0.5 else _BLOOD_HU
    for rod in vein_rods(rng, canvas.site.body.depth / 2):
        canvas.canal(rod, value, canvas.body)


def _osteophytes(rng: np.random.Generator, canvas: Canvas) -> None:
    half = canvas.site.body.depth / 2, canvas.site.body.width / 2
    for _ in range(rng.integers(2, 6)):
        side = int(rng.choice((-1, 1)))
        up, front, right = canvas.rim(side, float(np.clip(rng.normal(0, 0.8), -1.3, 1.3)))
        beak = float(rng.uniform(2.5, 5.5))
        spur = Rod(
            (up - side * 3.5, 0.9 * front - 0.5, 0.9 * right),
            (up + side * float(rng.uniform(-1, 1)), front * (1 + beak / half[0]),
             right * (1 + beak / half[1])),
            (1.8, 3.5), (side, 0.3, 0), 0.6,
        )  # fmt: skip
        canvas.labels[canvas.bone(spur)] = canvas.site.vertebra.label


def _bridge(rng: np.random.Generator, canvas: Canvas) -> None:
    """Bone from the rim to that of the neighbour above; each has its half."""
    up, front, right = canvas.rim(1, float(np.clip(rng.normal(0, 0.7), -1.2, 1.2)))
    gap = canvas.gap(front, right)
    outer = (up + gap / 2, 1.15 * front, 1.15 * right)
    radii = (float(rng.uniform(1.6, 2.4)), float(rng.uniform(3, 5)))
    above = canvas.site.above or canvas.site.vertebra
    for end in (-3.0, gap + 3.0):
        rod = Rod((up + end, 0.95 * front, 0.95 * right), outer, radii, (0, 1, 0))
        found = canvas.bone(rod)
        upper = canvas.local[0] > np.float32(outer[0])
        canvas.labels[found & ~upper] = canvas.site.vertebra.label
        canvas.labels[found & upper] = above.label


def _wall_vessel(rng: np.random.Generator, canvas: Canvas) -> None:
    """Contrast around the waist (a segmental vessel), or upright in front of the anterior wall."""
    site, (up, front, right) = canvas.site, canvas.local
    value = float(rng.uniform(*CONTRAST_HU))
    if rng.random() < 0.5:
        wall = ndimage.distance_transform_edt(
            canvas.labels != site.vertebra.label, sampling=canvas.spacing
        )
        turn = right * np.float32(rng.choice((-1, 1)))
        cover = segmental_vessel(rng, wall, up, site.width) * ramp(front, 0, 4) * ramp(turn, -4, 0)
    else:
        bore = float(rng.uniform(2.5, 5))
        _, ahead, aside = canvas.rim(1, float(rng.normal(0, 0.3)))
        low, high = float(site.body.bottom.min()) - 6, float(site.body.top.max()) + 6
        upright = (low, ahead + bore + 0.3, aside), (high, ahead + bore + 0.3, aside)
        cover = coverage(Rod(*upright, (bore, bore)).distance(canvas.local), site.width)
    canvas.pull(value, cover * canvas.free)


def _old_deformity(rng: np.random.Generator, canvas: Canvas) -> None:
    """What a healed collapse has beside its shape: a dense endplate and osteophytes."""
    canvas.paint_inside(LookAlikes(scleroses=(_sclerosis(rng, canvas),)))
    _osteophytes(rng, canvas)


_PAINTED: dict[str, Callable[[np.random.Generator, Canvas], None]] = {
    "Schmorl node": _schmorl_node,
    "worn disc": _worn_disc,
    "haemangioma": _haemangioma,
    "bone island": _bone_island,
    "limbus vertebra": _limbus,
    "basivertebral vein": _basivertebral_vein,
    "osteophytes": _osteophytes,
    "bridging osteophyte": _bridge,
    "vessel at the wall": _wall_vessel,
    "old deformity": _old_deformity,
}
_LOSS = {"old deformity": (0.2, 0.45), "wedging": (0.04, 0.12), "lateral wedging": (0.04, 0.12)}

NAMES = (*_PAINTED, "wedging", "lateral wedging")
"""Look-alikes that a vertebra can be given."""


def add_lookalike(
    scan: LabelledCT,
    level: str,
    name: str,
    seed: int | np.random.SeedSequence,
    reading: LabelReading,
) -> tuple[LabelledCT, LookAlikeFacts]:
    """Gives a whole vertebra of a real CT a look-alike of a fracture.

    Args:
        scan: the CT with its label map; its fractures stay as they are.
        level: "T4" to "L5"; see `breakable_levels`.
        name: one of `NAMES`.
        seed: of its shape, place and density.
        reading: of the labels.

    Raises:
        UserError: see `fracture_vertebra`.
    """
    shape_rng, noise_rng = map(np.random.default_rng, fresh(seed).spawn(2))
    site = open_site(scan, level, reading)
    grade = 0
    if name in _LOSS:
        kind = "crush" if name == "lateral wedging" else "wedge"
        spec = FractureSpec(kind, float(shape_rng.uniform(*_LOSS[name])), acute=False)
        size = size_of(level, site.body)
        fracture = draw_in_body(shape_rng, spec, size, site.trabecular, site.width)
        if name == "lateral wedging":  # as in scoliosis
            fracture = replace(fracture, lateral=float(shape_rng.choice((-1, 1))))
        broken, done = break_body(scan, site, fracture, noise_rng)
        grade = done.grade
        scan = replace(broken, fractures=scan.fractures)
        site = open_site(scan, level, reading)
    if name in _PAINTED:
        scan = painted_on(scan, site, _PAINTED[name], shape_rng)
    return scan, LookAlikeFacts(level, site.vertebra.label, name, grade)
