"""Stops a training that has gone wrong, and says at which step, by which term, and what to change.

Three things go wrong in GANs on sparse targets: a number stops being finite, the generator answers
"background" everywhere, or the discriminator decides the game or gives it up, after which its
gradient teaches nothing.
"""

import math
from collections.abc import Mapping

from absl import logging

from vfseg.errors import UserError

COLLAPSED = 0.02
"""Mean probability on fracture below which, and not above twice the background's, nothing is
found; an untrained network answers 0.01 on both."""

WON = 0.995
"""Accuracy from which the discriminator has won: nothing the generator does counts."""

CHANCE = 0.005
"""Distance from 1/2 within which the discriminator guesses."""


class Alarms:
    """Looks at each line of the log; what lasts for `patience` lines in a row stops the training.

    Half way there it warns. A number that is not finite stops at once.
    """

    def __init__(self, patience: int, *, since: int = 0):
        """`patience`: lines of the log; 0 never stops. `since`: steps made so far."""
        self._patience = patience
        self._rows: dict[str, int] = {}
        self._last_step = since

    def check(self, step: int, scalars: Mapping[str, float]) -> None:
        """Checks the means over the steps since the last line.

        Args:
          step: of the line.
          scalars: as the training step names them.

        Raises:
          UserError: training should not go on.
        """
        first, self._last_step = self._last_step + 1, step
        broken = [name for name, value in scalars.items() if not math.isfinite(value)]
        if broken:
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
                f"training broke in steps {first} to {step}: {', '.join(sorted(broken))} "
                f"not finite. {remedy} and train anew in another --workdir; what the "
                "last checkpoint holds is from before."
            )
        on_fracture = scalars["probability_on_fracture"]
        on_background = scalars["probability_on_background"]
        self._row(
            "the generator has collapsed to background",
            on_fracture < COLLAPSED and on_fracture < 2 * on_background,
            step,
            f"mean probability on fracture is {on_fracture:.4f}",
            "Raise config.losses.dice, cross_entropy or focal_tversky against l1 and adversarial, "
            "raise config.windows.positive_share, or give the earlier stages more steps",
        )
        if "discriminator_accuracy" not in scalars:
            return
        accuracy = scalars["discriminator_accuracy"]
        self._row(
            "the discriminator has won",
            accuracy >= WON,
            step,
            f"its accuracy is {accuracy:.3f}, so its gradient teaches nothing",
            "Lower config.train.discriminator_learning_rate or pause_above, set config.losses.r1 "
            "or config.discriminator.spectral_norm",
        )
        self._row(
            "the discriminator is dead",
            abs(accuracy - 0.5) <= CHANCE,
            step,
            f"its accuracy is {accuracy:.3f}: it guesses",
            "Raise config.train.discriminator_learning_rate or pause_above, lower "
            "config.losses.r1, widen config.discriminator.features, or set "
            "config.losses.adversarial_everywhere=False",
        )

    def _row(self, what: str, holds: bool, step: int, figure: str, remedy: str) -> None:
        rows = self._rows[what] = self._rows.get(what, 0) + 1 if holds else 0
        if rows == max(self._patience // 2, 1):
            logging.warning("step %d: %s? (%s)", step, what, figure)
        if self._patience and rows >= self._patience:
            raise UserError(
                f"stopped at step {step}: {what}, for {rows} lines of the log ({figure}). "
                f"{remedy}; config.train.patience=0 goes on regardless."
            )
