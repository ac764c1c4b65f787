"""The fusion rules as plain NumPy, written down from their definitions alone."""

import numpy as np

from vfseg.data.probability import reaches


def logarithmic_pool(p):
    """Normalised geometric mean; numbers near 0 and 1 are kept within 1e-6."""
    p = np.clip(p.astype(np.float64), 1e-6, 1 - 1e-6)
    for_fracture, against = np.prod(p) ** (1 / len(p)), np.prod(1 - p) ** (1 / len(p))
    return for_fracture / (for_fracture + against)


def by_confidence(p):
    return np.average(p.astype(np.float64), weights=np.maximum(np.abs(2 * p - 1), 2**-10))


def definition(name, p, centre, threshold):
    """Fused value of the predictions `p` of one voxel; `centre` are their weights by place."""
    if not len(p):
        return 0.0
    return {
        "mean": lambda: np.mean(p, dtype=np.float64),
        "centre": lambda: np.average(p.astype(np.float64), weights=centre),
        "confidence": lambda: by_confidence(p),
        "vote": lambda: np.mean(reaches(p, threshold)),
        "maximum": lambda: np.max(p),
        "product": lambda: logarithmic_pool(p),
    }[name]()


def place_weight(voxel, shape):
    """The weight c of one voxel of a crop: the product of squared cosines, plus 2^-10."""
    u = [(i + 0.5) / n * 2 - 1 for i, n in zip(voxel, shape)]  # way to the middle of the voxel
    return np.prod([np.cos(np.pi * x / 2) ** 2 for x in u]) + 2**-10


def exact_scores(seed, shape):
    """Multiples of 1/64 in 0..1: their float32 sums are exact, so any twin must agree to the bit.

    A third of them equal the threshold 0.5 or lie next to it.
    """
    rng = np.random.default_rng(seed)
    near = rng.integers(31, 34, shape)
    return (np.where(rng.random(shape) < 1 / 3, near, rng.integers(0, 65, shape)) / 64).astype("f4")


def rough_scores(seed, shape):
    """Scores of very different size: their float32 sums do depend on the order."""
    rng = np.random.default_rng(seed)
    return (rng.random(shape) * 10.0 ** rng.integers(-6, 1, shape)).astype("f4")
