"""`vfseg.fuse`: several maps of one grid into one."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from vfseg.errors import UserError
from vfseg.inference.fusion import RULES

PLAIN_RULES = tuple(name for name, rule in RULES.items() if not rule.centred)
"""Rules that need no more than the maps; the others weigh by the place in a crop."""


def fuse(maps: Sequence[np.ndarray], rule: str = "mean", *, threshold: float = 0.5) -> np.ndarray:
    """Fuses maps of probability that lie on one grid: of models, planes, readers.

    Args:
        maps: in [0, 1], all of one shape; NaN where a map says nothing.
        rule: one of `PLAIN_RULES`, which `vfseg.inference.fusion` defines.
        threshold: probability from which a map votes, for the rule "vote".

    Returns:
        float32 of their shape, NaN where no map says anything.

    Raises:
        UserError: there is no such rule, no map, maps of several shapes, or values beyond [0, 1].
    """
    if rule not in PLAIN_RULES:
        raise UserError(f"vfseg.fuse: no rule {rule!r}. There are {', '.join(PLAIN_RULES)}.")
    arrays = [np.asarray(one, np.float32) for one in maps]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1:
        found = ", ".join(map(str, sorted(shapes))) or "none"
        raise UserError(f"vfseg.fuse: expected maps of one shape, found {found}.")
    chosen = RULES[rule]
    total, weight = jnp.zeros(arrays[0].shape), jnp.zeros(arrays[0].shape)
    for array in arrays:
        known = ~np.isnan(array)
        if not ((array >= 0) & (array <= 1))[known].all():
            raise UserError(
                f"vfseg.fuse: values from {np.nanmin(array):g} to {np.nanmax(array):g}, expected "
                "probabilities from 0 to 1."
            )
        terms = (*chosen.terms(jnp.asarray(array), threshold), jnp.ones(array.shape))
        total = chosen.join(total, jnp.where(known, terms[0], 0))
        weight = chosen.join(weight, jnp.where(known, terms[1], 0))
    fused = chosen.link(total / jnp.where(weight > 0, weight, 1))
    return np.asarray(jnp.where(weight > 0, fused, jnp.nan), np.float32)
