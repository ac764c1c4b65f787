"""Parameters for tests: every leaf random, biases too, drawn by NumPy so that nothing compiles."""

import jax
import numpy as np


def random_params(module, *inputs, seed=0):
    """Parameters of `module` for such inputs, normal with variance 1 / fan-in."""
    shapes = jax.eval_shape(lambda *x: module.init(jax.random.key(0), *x), *inputs)["params"]
    rng = np.random.default_rng(seed)

    def draw(leaf):
        fan_in = max(int(np.prod(leaf.shape[:-1])), 1)
        return (rng.normal(size=leaf.shape) / np.sqrt(fan_in)).astype(np.float32)

    return jax.tree.map(draw, shapes)
