"""How bones move where one below them has lost height: rigidly, each with its arch and spurs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vfseg.synthesis.phantom.scanner import rotation_about
from vfseg.synthesis.phantom.shapes import Frame

_KEPT = 0.8  # of a tilt, from each vertebra to the next above it: the discs take up the rest


@dataclass(frozen=True, eq=False)
class Rigid:
    """A place p, in mm, comes to ``turn p + shift``."""

    turn: np.ndarray
    shift: np.ndarray

    def after(self, first: "Rigid") -> "Rigid":
        """The movement that does `first`, and then this one."""
        return Rigid(self.turn @ first.turn, self.turn @ first.shift + self.shift)

    def point(self, place: np.ndarray) -> np.ndarray:
        """Where places [..., 3] come to."""
        return place @ self.turn.T + self.shift

    def frame(self, frame: Frame) -> Frame:
        """Where a frame comes to."""
        return Frame(self.point(frame.centre), frame.axes @ self.turn.T)


STILL = Rigid(np.eye(3), np.zeros(3))


def settle(frames: Sequence[Frame], settlings: Sequence[tuple[float, float] | None]) -> list[Rigid]:
    """How the bones of a spine come down over fractured ones.

    All that lies above a fractured body comes down along its axis and tips forward about its
    middle; each disc above takes a fifth of the tilt back.

    Args:
        frames: of the bones, cranial to caudal.
        settlings: of each, how far the spine above comes down (mm) and tips forward (degrees); None
            where it is whole.

    Returns:
        A movement for each bone, in their order.
    """
    found: list[Rigid] = []
    total, tilt = STILL, 0.0
    for number in reversed(range(len(frames))):
        found.append(total)
        here = total.frame(frames[number])
        if tilt and number:
            joint = (frames[number].centre + frames[number - 1].centre) / 2
            back = _about(total.point(joint), here.axes[2], -(1 - _KEPT) * tilt)
            total, tilt = back.after(total), _KEPT * tilt
        settling = settlings[number]
        if settling is not None:
            down, forward = settling
            sunk = Rigid(np.eye(3), -down * here.axes[0])
            total = sunk.after(_about(here.centre, here.axes[2], forward)).after(total)
            tilt += forward
    return found[::-1]


def _about(centre: np.ndarray, axis: np.ndarray, degrees: float) -> Rigid:
    """Turns the top forward by an angle about an axis to the right through a point."""
    turn = rotation_about(axis, np.radians(degrees))
    return Rigid(turn, centre - turn @ centre)
