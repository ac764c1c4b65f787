"""Dividing patients into parts of given sizes so that every trait is spread in proportion."""

import numpy as np

_SWEEPS = 50  # each exchange lowers the imbalance, so it ends by itself, after a few as a rule


def whole_shares(total: int, parts: int) -> np.ndarray:
    """Sizes of `parts` equal parts, [parts], that differ by one at most.

    >>> whole_shares(7, 3).tolist()
    [3, 2, 2]
    """
    return np.array([total // parts + (part < total % parts) for part in range(parts)])


def stratify(
    traits: np.ndarray, sizes: np.ndarray, fixed: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Iterative stratification, followed by swaps as long as they help.

    The rarest trait is dealt out first, each patient to the part that lacks most of it. Then pairs
    of patients change places wherever that lowers `imbalance`, until no exchange does.

    Args:
        traits: `[patients, traits]` counts >= 0.
        sizes: `[parts]` patients in each part, those in `fixed` included; sums to the patients.
        fixed: `[patients]` part of those that must stay where they are, -1 for the others.
        rng: breaks ties.

    Returns:
        `[patients]` part of each.

    References:
        Sechidis, Tsoumakas, Vlahavas, On the stratification of multi-label data, ECML PKDD 2011.
    """
    parts = _deal(traits, sizes, fixed, rng)
    free = np.flatnonzero(fixed < 0)
    wanted = _wanted(traits, sizes)
    held = np.zeros(wanted.shape)
    np.add.at(held, parts, traits)
    for _ in range(_SWEEPS):
        settled = True
        for one in free:
            others = free[parts[free] != parts[one]]
            if not len(others):
                continue
            here, there = parts[one], parts[others]
            moved = traits[others] - traits[one]
            before = imbalance(held[here], wanted[here]) + imbalance(held[there], wanted[there])
            after = imbalance(held[here] + moved, wanted[here])
            gains = before - after - imbalance(held[there] - moved, wanted[there])
            best = int(gains.argmax())
            if gains[best] > 1e-9:
                held[here] += moved[best]
                held[there[best]] -= moved[best]
                parts[one], parts[others[best]] = there[best], here
                settled = False
        if settled:
            break
    return parts


def imbalance(held: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Distance of parts from their proportional share: `... traits` -> `...`.

    Sum over the traits of (held - wanted)^2 / max(wanted, 1/2), and 1 more for each trait that a
    part lacks altogether though at least half a count was due.
    """
    squares = (held - wanted) ** 2 / np.maximum(wanted, 0.5)
    return (squares + ((held == 0) & (wanted >= 0.5))).sum(-1)


def _wanted(traits: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """`[parts, traits]` of the whole, in proportion to the sizes."""
    return np.outer(sizes / max(1, sizes.sum()), traits.sum(0))


def _deal(
    traits: np.ndarray, sizes: np.ndarray, fixed: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    parts = fixed.copy()
    places = sizes - np.bincount(fixed[fixed >= 0], minlength=len(sizes))
    lacking = _wanted(traits, sizes)
    np.subtract.at(lacking, fixed[fixed >= 0], traits[fixed >= 0])
    while (parts < 0).any():
        open_ = np.flatnonzero(parts < 0)
        left = np.count_nonzero(traits[open_], axis=0)
        trait = int(np.where(left, left, len(traits) + 1).argmin())
        chosen = open_[traits[open_, trait] > 0] if left.any() else open_
        for patient in rng.permutation(chosen):
            need = (np.where(places > 0, lacking[:, trait], -np.inf), places)
            part = int(np.lexsort((rng.random(len(sizes)), need[1], need[0]))[-1])
            parts[patient] = part
            places[part] -= 1
            lacking[part] -= traits[patient]
    return parts
