"""Fractures: how a body breaks, and the sheets, dents and densities by which a CT shows it.

An acute fracture is a thin sheet under a depressed endplate (a condensation band, an open gap, or
both) with steps in the endplate and the anterior wall. The sheet is what the fracture mask labels.
An old deformity has the same loss of height, a smooth thick cortex and no sheet, so no label.

References:
    Genant, Wu, van Kuijk, Nevitt (1993), J Bone Miner Res 8:1137: types and grades.
    PMC7647501: endplate pattern and depth of the loss in 194 patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vfseg.data.grades import genant_grade
from vfseg.synthesis.phantom.shapes import Ripple, ramp
from vfseg.synthesis.phantom.sheets import Sheet, UprightSheet
from vfseg.synthesis.phantom.spine import Size

KINDS = ("wedge", "biconcave", "crush")
SIGNS = ("condensation", "gap", "mixed")


@dataclass(frozen=True)
class FractureSpec:
    """What is asked of one fractured vertebra.

    Attributes:
        kind: Genant type: where the height is lost (wedge in front, biconcave in the middle, crush
            everywhere).
        height_loss: fraction of the intact height that is lost, 0 to 0.5: the largest of front,
            middle and back.
        endplates: those that give way: "superior", "inferior" or "both".
        sign: "condensation" (band of 80-250 HU over its surroundings), "gap" or "mixed".
        acute: fresh, with labelled sheets; otherwise a healed deformity without label.
        across_slices: a ribbon from left to right without loss of height, which is but a fleck in a
            sagittal slice.
        pattern: what breaks beside the endplate, in the terms of AO: nothing ("endplate", A1), an
            upright sheet through both endplates ("split", A2), or one to the posterior wall, which
            is pushed into the canal ("burst", A3, with both endplates A4).
    """

    kind: str = "wedge"
    height_loss: float = 0.15
    endplates: str = "superior"
    sign: str = "condensation"
    acute: bool = True
    across_slices: bool = False
    pattern: str = "endplate"

    @property
    def grade(self) -> int:
        """Genant grade, 0 to 3, by loss of height."""
        return genant_grade(self.height_loss)


def draw_spec(rng: np.random.Generator, across_slices_fraction: float) -> FractureSpec:
    """Draws an acute fracture: endplates, places and losses of height as often as published."""
    if rng.random() < across_slices_fraction:
        sign = SIGNS[int(rng.random() < 0.25)]
        return FractureSpec("wedge", 0.0, "superior", sign, across_slices=True)
    span = ((0.04, 0.2), (0.2, 1 / 3), (1 / 3, 0.48))[rng.choice(3, p=(0.586, 0.3, 0.114))]
    return FractureSpec(
        kind=KINDS[rng.choice(3, p=(0.66, 0.22, 0.12))],
        height_loss=float(rng.uniform(*span)),
        endplates=("superior", "inferior", "both")[rng.choice(3, p=(0.855, 0.019, 0.126))],
        sign=SIGNS[rng.choice(3, p=(0.66, 0.19, 0.15))],
    )


def draw_pattern(
    rng: np.random.Generator, spec: FractureSpec, split_fraction: float, burst_fraction: float
) -> FractureSpec:
    """The same fracture with an AO pattern, drawn; ribbons and healed fractures have none."""
    chance = rng.random()
    if not spec.acute or spec.across_slices or chance >= split_fraction + burst_fraction:
        return spec
    return replace(spec, pattern="split" if chance < split_fraction else "burst")


@dataclass(frozen=True, eq=False)
class Fracture:
    """A fracture as drawn: how the endplates sink, and its sheets (none where it is healed).

    Attributes:
        spec: what was asked for.
        deepest: where it is deepest, -1 (back) to 1 (front) of the depth.
        lateral: fraction by which the right side sinks more than the middle.
        step: height of the step in a fresh endplate, fraction of the loss.
        buckle: bulge of the anterior wall in mm.
        retropulsion: bulge of the posterior wall into the canal in mm.
        oedema: HU that a fresh fracture adds to the whole body.
        loss: mm, scale of the superior and of the inferior endplate's sinking.
        sheets: along the endplates; the fracture mask labels them.
        upright: of a split or a burst; the fracture mask labels them, too.
    """

    spec: FractureSpec
    deepest: float
    lateral: float
    step: float
    buckle: float
    oedema: float
    loss: tuple[float, float]
    sheets: tuple[Sheet, ...]
    upright: tuple[UprightSheet, ...] = ()
    retropulsion: float = 0.0

    def sink(
        self, size: Size, front: np.ndarray, right: np.ndarray, side: int
    ) -> np.ndarray | float:
        """How far an endplate (1 superior, -1 inferior) sinks into the body, mm, at least 0."""
        loss = self.loss[0 if side > 0 else 1]
        if loss <= 0:
            return 0.0
        f = front * np.float32(2 / size.depth)
        r = right * np.float32(2 / size.width)
        return self.profile(f, r) * np.float32(loss)

    def profile(self, f: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Shape of the sunken endplate, at least 0; `f` is -1..1 from back to front, `r` across.

        Fresh fractures begin steeply and with a step; healed ones are smooth.
        """
        deepest = self.deepest
        if self.spec.kind == "wedge":
            sharp = 0.7 if self.spec.acute else 1.35
            shape = ramp(f, deepest - sharp, deepest) - 0.15 * ramp(f, deepest, 1.0)
        elif self.spec.kind == "biconcave":
            u = (f - np.float32(deepest)) / np.float32(1.05)
            shape = np.square(np.maximum(1 - u * u - 0.75 * r * r, 0))
        else:
            shape = 1 + 0.08 * np.clip(f, -1, 1)
        shape = shape * (1 + np.float32(self.lateral) * r)
        if self.step:
            ledge = ramp(f, deepest - 0.46, deepest - 0.38) * ramp(f, deepest + 0.3, 0)
            shape = shape + np.float32(self.step) * ledge
        return np.maximum(shape, 0)

    def settling(self, size: Size) -> tuple[float, float]:
        """How far the spine above comes down (mm) and tips forward (degrees)."""
        total = sum(self.loss)
        settled = {"wedge": 0.5, "biconcave": 0.35, "crush": 0.95}[self.spec.kind]
        angle = np.degrees(np.arctan2(total, size.depth)) if self.spec.kind == "wedge" else 0.0
        return settled * total, 0.6 * float(angle)


# Where heights are compared, as a fraction of half the depth: the front, the middle, the back.
SITES = {"front": 0.7, "middle": 0.0, "back": -0.7}


def draw_fracture(
    rng: np.random.Generator, spec: FractureSpec, size: Size, trabecular: float
) -> Fracture:
    """Draws the rest of a fracture: where it is deepest, how it tilts, its sheets and their HU."""
    if spec.kind == "wedge":
        fifth = rng.choice(3, p=(0.24, 0.53, 0.23))
        deepest = float(rng.uniform(*((0.6, 0.75), (0.2, 0.6), (-0.1, 0.2))[fifth]))
    else:
        deepest = float(rng.uniform(-0.2, 0.2))
    upper = {"superior": 1.0, "inferior": 0.0, "both": rng.uniform(0.55, 0.75)}[spec.endplates]
    acute = spec.acute and not spec.across_slices
    fracture = Fracture(
        spec=spec,
        deepest=deepest,
        lateral=float(rng.normal(0, 0.15)),
        step=float(rng.uniform(0.05, 0.25)) if acute else 0.0,
        buckle=float(rng.uniform(0.3, 1.6)) if acute else 0.0,
        oedema=float(rng.uniform(5, 35)) if acute else 0.0,
        loss=(0.0, 0.0),
        sheets=tuple(_draw_sheets(rng, spec, size, deepest, trabecular)) if spec.acute else (),
    )
    if spec.acute and spec.pattern != "endplate":
        upright = _upright(rng, spec, size, trabecular)
        fracture = replace(
            fracture,
            upright=(upright,),
            retropulsion=float(rng.uniform(1.5, 4)) if spec.pattern == "burst" else 0.0,
        )
    # Scaled so that the largest relative loss among the three sites is the one asked for.
    sites = np.array(list(SITES.values()))
    intact = size.height + size.tilt * size.depth * sites
    intact -= sum(size.concavity) * (1 - (sites + 0.1) ** 2)
    total = spec.height_loss / float(np.max(fracture.profile(sites, np.zeros(3)) / intact))
    return replace(fracture, loss=(total * upper, total * (1 - upper)))


def _draw_sheets(
    rng: np.random.Generator, spec: FractureSpec, size: Size, deepest: float, trabecular: float
) -> Sequence[Sheet]:
    half = size.depth / 2, size.width / 2
    if spec.across_slices:
        return [_ribbon(rng, spec, size, trabecular)]
    sides = {"superior": (1,), "inferior": (-1,), "both": (1, -1)}[spec.endplates]
    sheets = []
    for side in sides:
        reach = float(rng.uniform(0.55, 0.95)), float(rng.uniform(0.6, 1.0))
        centre = float(np.clip(deepest, -0.1, 0.95 - 0.8 * reach[0]))
        sheets.append(_sheet(
            rng, spec.sign, trabecular, side=side,
            depth=float(rng.triangular(2.5, 3.8, 7.5)),
            slant=float(rng.normal(0.5, 0.9)),
            centre=(centre * half[0], float(rng.normal(0, 0.15)) * half[1]),
            half_axes=(reach[0] * half[0], reach[1] * half[1]),
        ))  # fmt: skip
    if len(sides) == 1 and rng.random() < 0.2:  # a second, smaller sheet further in
        sheets.append(_sheet(
            rng, spec.sign, trabecular, side=sides[0],
            depth=float(rng.uniform(0.38, 0.5)) * size.height,
            slant=sheets[0].slant + float(rng.normal(0, 0.5)),
            centre=(float(rng.uniform(0.1, 0.5)) * half[0],
                    float(rng.uniform(-0.4, 0.4)) * half[1]),
            half_axes=(float(rng.uniform(0.35, 0.5)) * half[0],
                       float(rng.uniform(0.35, 0.55)) * half[1]),
        ))  # fmt: skip
    return sheets


def _upright(
    rng: np.random.Generator, spec: FractureSpec, size: Size, trabecular: float
) -> UprightSheet:
    if spec.pattern == "split" and rng.random() < 0.35:  # sagittal
        angle, offset = np.pi / 2, rng.uniform(-0.2, 0.2) * size.width
        breadth = 0.55 * size.depth
    else:  # coronal: through the middle, or close to the posterior wall
        angle = 0.0
        place = rng.uniform(-0.1, 0.25) if spec.pattern == "split" else rng.uniform(-0.36, -0.26)
        offset, breadth = place * size.depth, rng.uniform(0.3, 0.5) * size.width
    angle += rng.normal(0, 0.15)
    gap = bool(rng.random() < 0.6)
    return UprightSheet(
        side=1,
        normal=(float(np.cos(angle)), float(np.sin(angle))),
        offset=float(offset),
        breadth=float(breadth),
        reach=2 * size.height
        if spec.pattern == "split"
        else float(rng.uniform(0.45, 0.7)) * size.height,
        thickness=float(rng.triangular(1.5, 2.0, 3.0)),
        hounsfield=float(rng.uniform(-70, 10) - max(0, 90 - trabecular))
        if gap
        else float(rng.uniform(80, 240)),
        gap=gap,
        undulation=Ripple.draw(rng, (8, 24), 2),
    )


def _sheet(rng: np.random.Generator, sign: str, trabecular: float, **place) -> Sheet:
    gap = sign == "gap" or (sign == "mixed" and rng.random() < 0.5)
    return Sheet(
        **place,
        thickness=float(rng.triangular(1.6, 2.3, 3.8)),
        hounsfield=float(rng.uniform(-70, 10) - max(0, 90 - trabecular))
        if gap
        else float(rng.uniform(80, 240)),
        gap=gap,
        undulation=Ripple.draw(rng, (7, 22), 2),
        outline=Ripple.draw(rng, (6, 16), 2),
        grain=Ripple.draw(rng, (3, 8), 2),
    )


FLECK_HALF_DEPTH = (2.2, 3.0)
FLECK_THICKNESS = (1.8, 2.4)


def _ribbon(rng: np.random.Generator, spec: FractureSpec, size: Size, trabecular: float) -> Sheet:
    sheet = _sheet(
        rng, spec.sign, trabecular, side=1,
        depth=float(rng.uniform(3.5, 8)),
        slant=0.0,
        centre=(float(rng.uniform(-0.1, 0.6)) * size.depth / 2, 0.0),
        half_axes=(float(rng.uniform(*FLECK_HALF_DEPTH)),
                   float(rng.uniform(0.6, 0.85)) * size.width / 2),
    )  # fmt: skip
    return replace(sheet, thickness=float(rng.uniform(*FLECK_THICKNESS)))
