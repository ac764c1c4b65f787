"""Loss of height of vertebral bodies, and the Genant grade and shape that it suggests.

A height is compared with what the nearest intact neighbours, one above and one below, let expect:
their heights, carried over to the level by its usual size, less the wedging that is normal there.
A flat rule on anterior against posterior height would call every healthy L5 and many a T11 broken.

    expected = mean over neighbours n of (height_n + wedge_n) * usual_level / usual_n  - wedge_level
    loss = 1 - height / expected

where wedge = tan(normal angle) * (distance of the site from the posterior one). A suggestion from
heights is no diagnosis: readers look at endplates and density too, and differ by a grade.

References:
    Genant, Wu, van Kuijk, Nevitt (1993), J Bone Miner Res 8:1137: sites, cut-offs, shapes.
    PMC2899959 (Eur Spine J 2010;19:768), table 1: normal wedging of T9 to L5, 120 women, 120 men.
    Panjabi et al. (1991), Spine 16:888, and (1992), Spine 17:299: posterior heights, T1 to L5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vfseg.data.grades import GENANT_LOSSES, genant_grade
from vfseg.data.schemes import LEVELS
from vfseg.evaluation.heights import SITE_DEPTHS, MeasuredBody, Unmeasured

# Posterior heights in mm, after Panjabi et al., not compared with the printed tables again. Only
# ratios between levels count, a patient brings his own size; on the 43 bodies named below the
# scatter of the posterior loss is 0.048 with them and 0.053 without.
USUAL_MM = dict(
    zip(
        LEVELS,
        (16.2, 16.2, 17.4, 18.2, 18.7, 19.3, 20.2, 21.3, 22.7, 23.8, 24.3, 23.8, 24.1, 22.9),
    )
)
# Degrees, positive where the front is lower; mean of women and men. Above T9 the table ends, and
# T4 to T8 take the value of T9.
WEDGE_DEGREES = dict(zip(LEVELS, (3.8,) * 6 + (3.2, 5.0, 4.2, 3.35, 1.65, 0.1, -1.9, -6.2)))
_MIDDLE_FRACTION = 0.93  # of the mean of front and back: the median of those 43, hollow endplates
_INTACT_BELOW = 0.15
SPREAD = 0.05
"""How far the loss of healthy bodies strays from 0, one standard deviation.

0.047 to 0.051 on 43 vertebrae not known to be fractured, of six label maps of real CT, their
measurement error included.
"""

_ROUNDS = 6
_NORMAL_95 = 1.96


@dataclass(frozen=True, eq=False)
class HeightLoss:
    """What the heights of one body say.

    Attributes:
        level: its name.
        expected: [3] mm, at `SITES`.
        loss: [3], fraction of the expected height that is missing; negative where it is higher; NaN
            at the back where that is what the body was compared with.
        uncertainty: [3], one standard deviation of `loss`: of the measurement, of that of the
            neighbours, and of how far healthy bodies stray from what neighbours let expect.
        references: levels of the neighbours compared with; () where none was intact and the body
            was compared with its own posterior height.
    """

    level: str
    expected: np.ndarray
    loss: np.ndarray
    uncertainty: np.ndarray
    references: tuple[str, ...]

    @property
    def worst(self) -> int:
        """Index in `SITES` of the largest loss."""
        return int(np.nanargmax(self.loss))

    @property
    def grade(self) -> int:
        """Genant grade suggested, 0 to 3."""
        return genant_grade(float(self.loss[self.worst]))

    @property
    def grade_interval(self) -> tuple[int, int]:
        """Grades at the ends of the 95 % interval of the largest loss."""
        low, high = self.interval
        return genant_grade(low), genant_grade(high)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the largest loss."""
        half = _NORMAL_95 * float(self.uncertainty[self.worst])
        loss = float(self.loss[self.worst])
        return loss - half, loss + half

    @property
    def evidence(self) -> float:
        """Largest loss in standard deviations: what speaks for a fracture."""
        return float(np.nanmax(self.loss / self.uncertainty))

    @property
    def margin(self) -> float:
        """Distance of the largest loss from the nearest cut-off, in standard deviations."""
        distance = float(np.min(np.abs(np.subtract(GENANT_LOSSES, self.loss[self.worst]))))
        return distance / float(self.uncertainty[self.worst])

    @property
    def shape(self) -> str:
        """Genant shape: "crush" where the back is lost too, else "wedge" or "biconcave"; or ""."""
        if self.grade == 0:
            return ""
        anterior, middle, posterior = self.loss
        if posterior >= GENANT_LOSSES[0]:
            return "crush"
        return "wedge" if anterior >= middle else "biconcave"


def height_losses(bodies: Sequence[MeasuredBody | Unmeasured]) -> dict[str, HeightLoss]:
    """Loss of height of every measured body, by level.

    Which neighbours are intact is found in rounds: first against the upper quartile of all bodies
    (fractures only lower it), then against intact neighbours, until nothing changes. Intact is a
    body that lost less than 15 % everywhere.

    Args:
        bodies: of one spine, cranial to caudal.
    """
    measured = [body for body in bodies if isinstance(body, MeasuredBody)]
    if not measured:
        return {}
    sizes = np.array([(b.heights + _wedge(b)) / USUAL_MM[b.level] for b in measured])
    lost = 1 - sizes / np.quantile(sizes, 0.75, axis=0)
    intact = lost.max(axis=1) < _INTACT_BELOW
    if len(measured) == 1:  # its own reference
        intact[:] = False
    for _ in range(_ROUNDS):
        losses = [_loss(index, measured, intact) for index in range(len(measured))]
        now = np.array([bool(x.references) and max(x.loss) < _INTACT_BELOW for x in losses])
        if (now == intact).all() or not now.any():
            break
        intact = now
    return {x.level: x for x in losses}


def _loss(index: int, bodies: Sequence[MeasuredBody], intact: np.ndarray) -> HeightLoss:
    body = bodies[index]
    above = [i for i in range(index) if intact[i]][-1:]
    below = [i for i in range(index + 1, len(bodies)) if intact[i]][:1]
    neighbours = [bodies[i] for i in above + below]
    if neighbours:
        scale = [USUAL_MM[body.level] / USUAL_MM[n.level] for n in neighbours]
        carried = [(n.heights + _wedge(n)) * s for n, s in zip(neighbours, scale)]
        errors = [n.uncertainty * s for n, s in zip(neighbours, scale)]
        expected = np.mean(carried, axis=0) - _wedge(body)
        error = np.sqrt(np.sum(np.square(errors), axis=0)) / len(errors)
    else:
        expected = body.heights[2] - _wedge(body)
        expected[1] = _MIDDLE_FRACTION * (expected[0] + expected[2]) / 2
        error = np.full(3, body.uncertainty[2])
    ratio = body.heights / expected
    if not neighbours:
        ratio[2] = np.nan
    measurement = ratio * np.hypot(body.uncertainty / body.heights, error / expected)
    return HeightLoss(
        level=body.level,
        expected=expected,
        loss=1 - ratio,
        uncertainty=np.hypot(measurement, SPREAD),
        references=tuple(n.level for n in neighbours),
    )


def _wedge(body: MeasuredBody) -> np.ndarray:
    """How much lower than the back a healthy body of this level is, [3] mm, at `SITES`."""
    ahead = (SITE_DEPTHS[2] - np.array(SITE_DEPTHS)) * body.depth
    return np.tan(np.radians(WEDGE_DEGREES[body.level])) * ahead
