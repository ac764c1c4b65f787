"""Stops a training that has gone wrong, and says at which step, by which term, and what to change.

Three things go wrong in GANs on sparse targets: a number stops being finite, the generator answers
"background" everywhere, or the discriminator decides the game or gives it up, after which its
gradient teaches nothing.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from absl import logging

from vfseg.errors import UserError

COLLAPSED = 0.02
"""Mean probability on fracture below which, and not above twice the background's, nothing is
found; an untrained network answers 0.01 on both."""

EXTINCT = 0.001
"""Mean probability on fracture below which nothing is found, whatever the background's.

It is a tenth of the untrained network's 0.01. The cross-entropy on fracture is then at least
-log 0.001 = 6.9 (Jensen), where training began with 4.6: the network has unlearnt. And the way back
is barred: by the logit, the gradient of L1, Dice and Tversky has the factor p (1 - p), a tenth of
what they began with, at each pixel of a map that faint."""

WON = 0.995
"""Accuracy from which the discriminator has won: nothing the generator does counts."""

CHANCE = 0.005
"""Distance from 1/2 within which the discriminator guesses."""

NEEDED = ("probability_on_fracture", "probability_on_background")
"""Scalars that every line of training has."""


class Trouble(NamedTuple):
    """What is wrong with a line of the log.

    Attributes:
        figure: that shows it.
        remedy: what to change.
        stops: whether training ends where it lasts; if not, it is only said.
    """

    figure: str
    remedy: str
    stops: bool = True


class Alarms:
    """Looks at each line of the log; what lasts for `patience` steps stops the training.

    A line stands for the steps since the one before it, so the count does not depend on how often
    and why lines are written. Half way there it warns. A number that is not finite stops at once.
    """

    def __init__(self, patience: int, *, begin: int, everywhere: bool):
        """Nothing has lasted yet.

        Args:
            patience: steps; 0 never stops.
            begin: steps that do not count, since the learning rate still warms up.
            everywhere: whether the discriminator judges all patches, most of which are empty. There
                it can but guess: dead or not, its accuracy is near 1/2, which is no reason to stop.
        """
        self._patience, self._begin, self._everywhere = patience, begin, everywhere
        self._lasted: dict[str, int] = {}
        self._last_step = 0

    def recall(self, step: int, scalars: Mapping[str, float]) -> dict[str, Trouble]:
        """Counts a line that is known to have passed: a run that is resumed goes on counting.

        Args:
            step: of the line.
            scalars: as the training step names them; means over the steps since the last line.

        Returns:
            What is wrong with it, by name.
        """
        counted = step - max(self._last_step, self._begin)
        self._last_step = step
        found = _troubles(scalars, self._everywhere) if counted > 0 else {}
        self._lasted = {what: self._lasted.get(what, 0) + counted for what in found}
        return found

    def check(self, step: int, scalars: Mapping[str, float]) -> None:
        """Checks a line and counts it. Arguments as `recall`.

        Raises:
            UserError: training should not go on.
        """
        _check_finite(self._last_step + 1, step, scalars)
        before, half = self._lasted, max(self._patience // 2, 1)
        for what, (figure, remedy, stops) in self.recall(step, scalars).items():
            lasted = self._lasted[what]
            if before.get(what, 0) < half <= lasted:
                logging.warning("step %d: %s? (%s)", step, what, figure)
            if stops and 0 < self._patience <= lasted:
                raise UserError(
                    f"stopped at step {step}: {what}, for {lasted} steps ({figure}). "
                    f"{remedy}; config.train.patience=0 goes on regardless."
                )


def _check_finite(first: int, last: int, scalars: Mapping[str, float]) -> None:
    broken = [name for name, value in scalars.items() if not math.isfinite(value)]
    if not broken:
        return
    remedy = (
        "Lower config.train.generator_learning_rate, set config.train.gradient_clip (1.0, "
        "say) or lower the weight of that term in config.losses"
    )
    if all(name.startswith(("discriminator", "r1")) for name in broken):
        remedy = (
            "Lower config.train.discriminator_learning_rate or config.losses.r1, or set "
            "config.discriminator.spectral_norm"
        )
    raise UserError(
        f"training broke in steps {first} to {last}: {', '.join(sorted(broken))} "
        f"not finite. {remedy} and train anew in another --workdir; what the "
        "last checkpoint holds is from before."
    )


def _troubles(scalars: Mapping[str, float], everywhere: bool) -> dict[str, Trouble]:
    """What is wrong with a line, by name."""
    found = {}
    on_fracture = scalars["probability_on_fracture"]
    alike = on_fracture < 2 * scalars["probability_on_background"]
    if on_fracture < EXTINCT or (on_fracture < COLLAPSED and alike):
        found["the generator has collapsed to background"] = Trouble(
            f"mean probability on fracture is {on_fracture:.2g}",
            "Raise config.losses.dice, cross_entropy or focal_tversky against l1 and adversarial, "
            "raise config.windows.positive_share, or give the earlier stages more steps",
        )
    if "discriminator_accuracy" not in scalars:
        return found
    accuracy = scalars["discriminator_accuracy"]
    if accuracy >= WON:
        found["the discriminator has won"] = Trouble(
            f"its accuracy is {accuracy:.3f}, so its gradient teaches nothing",
            "Lower config.train.discriminator_learning_rate or pause_above, set config.losses.r1 "
            "or config.discriminator.spectral_norm",
        )
    if abs(accuracy - 0.5) <= CHANCE:
        found["the discriminator is dead"] = Trouble(
            f"its accuracy is {accuracy:.3f}: it guesses",
            "Raise config.train.discriminator_learning_rate or pause_above, lower "
            "config.losses.r1, widen config.discriminator.features, or set "
            "config.losses.adversarial_everywhere=False",
            stops=not everywhere,
        )
    return found
