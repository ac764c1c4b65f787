"""Seeds that give the same numbers however often they are used."""

import numpy as np


def fresh(seed: int | np.random.SeedSequence) -> np.random.SeedSequence:
    """A copy of a seed that has spawned no children yet.

    A `SeedSequence` counts its children, so two calls with one of them would not be equal.
    """
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    return np.random.SeedSequence(seed)
