"""Everything that training changes, in one pytree, and how it begins."""

import zlib
from collections.abc import Mapping
from typing import Any

import flax
import flax.linen as nn
import jax
import numpy as np
import optax

from vfseg.models.slice_network import SliceNetwork


@flax.struct.dataclass
class TrainState:
    """Generator and discriminator side by side, told apart by name.

    Attributes:
        step: updates made so far, int32.
        g_params: parameters of the generator.
        ema_params: running mean of `g_params`: what is evaluated.
        d_params: parameters of the discriminator.
        d_stats: state of its spectral norm; empty without.
        d_accuracy: running mean of its accuracy, 0..1.
        g_opt_state: state of the generator's optimiser.
        d_opt_state: state of the discriminator's optimiser.
        key_data: raw data of the random key, uint32; each step folds its number into it.
    """

    step: Any
    g_params: Any
    ema_params: Any
    d_params: Any
    d_stats: Any
    d_accuracy: Any
    g_opt_state: optax.OptState
    d_opt_state: optax.OptState
    key_data: Any


def create_state(
    generator: SliceNetwork,
    discriminator: nn.Module,
    g_optimizer: optax.GradientTransformation,
    d_optimizer: optax.GradientTransformation,
    *,
    ct_shape: tuple[int, int, int, int, int],
    seed: int,
) -> TrainState:
    """State at step 0, on the host.

    Args:
        generator: maps runs `b r h w c` to logits.
        discriminator: maps slices `n h w c` and maps `n h w` to logits.
        g_optimizer: optimiser of the generator.
        d_optimizer: optimiser of the discriminator.
        ct_shape: `b r h w c` of a batch; only the shape matters.
        seed: of parameters and of the random key.
    """
    _, _, h, w, c = ct_shape
    run = jax.ShapeDtypeStruct(ct_shape, np.float32)
    slices = jax.ShapeDtypeStruct((1, h, w, c), np.float32)
    fracture = jax.ShapeDtypeStruct((1, h, w), np.float32)
    g_params = initial_params(generator, seed, run)
    d_params = initial_params(discriminator, seed + 1, slices, fracture)
    return TrainState(
        step=np.zeros((), np.int32),
        g_params=g_params,
        ema_params=g_params,
        d_params=d_params,
        d_stats=_initial_stats(discriminator, seed + 1, slices, fracture),
        d_accuracy=np.full((), 0.5, np.float32),
        g_opt_state=_to_host(g_optimizer.init(g_params)),
        d_opt_state=_to_host(d_optimizer.init(d_params)),
        key_data=np.asarray(jax.random.key_data(jax.random.key(seed))),
    )


def initial_params(
    module: SliceNetwork | nn.Module, seed: int, *inputs: jax.ShapeDtypeStruct
) -> Any:
    """Parameters of `module` at the start, as NumPy arrays.

    Kernels are normal with variance 1 / fan-in, scales 1, biases and the kernels of side inputs
    (see `ConvNormRelu`) 0. The shapes come from `jax.eval_shape`; nothing is compiled, which saves
    a quarter of a minute for networks of this size, and the values do not depend on the backend.
    Each array has a stream of its own, named by its path, so that adding a layer leaves the others
    as they were.

    Raises:
        ValueError: a parameter is neither kernel, scale nor bias.
    """
    shapes = jax.eval_shape(lambda *x: module.init(jax.random.key(0), *x), *inputs)["params"]

    def draw(path: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
        kind = path[-1]
        if kind == "bias":
            return np.zeros(shape, np.float32)
        if kind == "scale":
            return np.ones(shape, np.float32)
        if "side" in path:
            return np.zeros(shape, np.float32)
        if kind != "kernel":
            raise ValueError(f"no rule to initialise {'/'.join(path)}")
        stream = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
        fan_in = int(np.prod(shape[:-1]))
        return (stream.standard_normal(shape) / np.sqrt(fan_in)).astype(np.float32)

    flat: Mapping[tuple[str, ...], jax.ShapeDtypeStruct] = flax.traverse_util.flatten_dict(shapes)
    return flax.traverse_util.unflatten_dict({p: draw(p, s.shape) for p, s in flat.items()})


def _initial_stats(module: nn.Module, seed: int, *inputs: jax.ShapeDtypeStruct) -> Any:
    """State of the spectral norm at the start: singular values 1, vectors random and of length 1.

    Empty for a module without spectral norm.
    """
    shapes = jax.eval_shape(lambda *x: module.init(jax.random.key(0), *x), *inputs)
    stream = np.random.default_rng([seed, 1])

    def draw(shape: jax.ShapeDtypeStruct) -> np.ndarray:
        vector = stream.standard_normal(shape.shape) if shape.shape else np.ones(())
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    return jax.tree.map(draw, shapes.get("batch_stats", {}))


def _to_host(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)
