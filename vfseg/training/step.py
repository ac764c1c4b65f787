"""The alternating update of pix2pix, as one pure function.

Reference:
  Isola et al., 2017, CVPR: Image-to-image translation with conditional adversarial networks.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from clu import metrics
from jax import lax

from vfseg.data.augment import AugmentSettings, augment
from vfseg.data.intensity import to_channels
from vfseg.models.discriminator import Discriminator
from vfseg.models.generator import Generator
from vfseg.training import losses
from vfseg.training.state import TrainState


def _averages(*names: str) -> type[metrics.Collection]:
    return metrics.Collection.create(**{n: metrics.Average.from_output(n) for n in names})


_SUPERVISED = ("loss", "l1", "dice_loss", "cross_entropy")
_ADVERSARIAL = (
    "adversarial",
    "adversarial_weight",
    "discriminator_loss",
    "discriminator_accuracy",
)

# Means over the steps since the last log line, kept on the device.
SupervisedMetrics = _averages(*_SUPERVISED)
AdversarialMetrics = _averages(*_SUPERVISED, *_ADVERSARIAL)


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """What a step needs besides state and batch; static, so the step compiles once.

    Attributes:
      generator: see `vfseg.models.generator`.
      discriminator: see `vfseg.models.discriminator`.
      g_optimizer: optimiser of the generator.
      d_optimizer: optimiser of the discriminator.
      adversarial_schedule: weight of the adversarial term by step.
      loss_weights: weights of `l1`, `dice` and `cross_entropy`.
      hu_windows: `(low, high)` in HU, one a channel.
      augment: strengths of the augmentation.
      plane: axial, coronal or sagittal.
      voxel_spacing: of the crops, mm.
    """

    generator: Generator
    discriminator: Discriminator
    g_optimizer: optax.GradientTransformation
    d_optimizer: optax.GradientTransformation
    adversarial_schedule: Callable[[jax.Array], jax.Array]
    loss_weights: Mapping[str, float]
    hu_windows: tuple[tuple[float, float], ...]
    augment: AugmentSettings
    plane: str
    voxel_spacing: float


def train_step(
    state: TrainState,
    batch: Mapping[str, jax.Array],
    settings: StepSettings,
    *,
    adversarial: bool,
    axis_name: str | None = None,
) -> tuple[TrainState, metrics.Collection]:
    """One update of the discriminator, then one of the generator against the updated discriminator.

    The generator's forward pass is computed once: its value feeds the discriminator's update,
    detached, and its pull-back serves the generator's gradient afterwards.

    Args:
      state: parameters, optimiser states, step and key.
      batch: `ct` int16 HU `b r h w`, runs of slices; `target` uint8 0/1 `b k h w`, the fracture
        mask of their middle slices.
      settings: static.
      adversarial: static; False leaves the discriminator out altogether (a branch inside the
        compiled step would be cheaper to compile, but XLA for CPU runs convolutions in a branch
        40 times slower).
      axis_name: the pmap axis over which the batch is split; None under jit, where the compiler
        sees the whole batch.

    Returns:
      The next state and the step's metrics.
    """
    run, target = prepare_batch(state, batch, settings, axis_name)
    b, k, h, w = target.shape

    dilation = (run.shape[1] - k) // max(settings.generator.window - 1, 1)

    def generate(g_params: Any) -> Any:
        return settings.generator.apply({"params": g_params}, run, dilation)

    logits, pull_back = jax.vjp(generate, state.g_params)

    first = (run.shape[1] - k) // 2
    ct = run[:, first : first + k].reshape(b * k, h, w, -1)
    real = target.reshape(b * k, h, w)
    fake = nn.sigmoid(logits).reshape(b * k, h, w)

    outputs: dict[str, Any] = {}
    d_params, d_opt_state = state.d_params, state.d_opt_state
    if adversarial:
        d_gradient, d_outputs = jax.grad(discriminator_loss, has_aux=True)(
            d_params, settings.discriminator, ct, real, lax.stop_gradient(fake), axis_name
        )
        d_params, d_opt_state = _update(
            settings.d_optimizer, d_gradient, d_opt_state, d_params, axis_name
        )
        outputs |= d_outputs
        outputs["adversarial_weight"] = settings.adversarial_schedule(state.step)

    def objective(logits: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        return generator_loss(
            logits,
            target,
            settings.loss_weights,
            judge=(settings.discriminator, d_params, ct) if adversarial else None,
            adversarial_weight=outputs.get("adversarial_weight", 0.0),
            axis_name=axis_name,
        )

    logits_gradient, g_outputs = jax.grad(objective, has_aux=True)(logits)
    (g_gradient,) = pull_back(logits_gradient)
    g_params, g_opt_state = _update(
        settings.g_optimizer, g_gradient, state.g_opt_state, state.g_params, axis_name
    )
    outputs |= g_outputs

    collection = AdversarialMetrics if adversarial else SupervisedMetrics
    state = TrainState(
        step=state.step + 1,
        g_params=g_params,
        d_params=d_params,
        g_opt_state=g_opt_state,
        d_opt_state=d_opt_state,
        key_data=state.key_data,
    )
    return state, collection.single_from_model_output(**outputs)


def prepare_batch(
    state: TrainState,
    batch: Mapping[str, jax.Array],
    settings: StepSettings,
    axis_name: str | None,
) -> tuple[jax.Array, jax.Array]:
    """Augments on the device and scales HU: runs `b r h w c` in -1..1, targets `b k h w` in 0..1.

    A sample's random numbers depend on the step and on its place in the global batch, so one
    device and many draw the same.
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key_data), state.step)
    places = jnp.arange(batch["ct"].shape[0])
    if axis_name is not None:
        places += lax.axis_index(axis_name) * len(places)
    ct, target = augment(
        jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places),
        batch["ct"].astype(jnp.float32),
        batch["target"].astype(jnp.float32),
        settings.augment,
        plane=settings.plane,
        voxel_spacing=settings.voxel_spacing,
    )
    return to_channels(ct, settings.hu_windows), target


def discriminator_loss(
    d_params: Any,
    discriminator: nn.Module,
    ct: jax.Array,
    real: jax.Array,
    fake: jax.Array,
    axis_name: str | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Half the cross-entropy on real plus half that on fake maps (the half is pix2pix's).

    Args:
      d_params: parameters to differentiate.
      discriminator: the network.
      ct: slices `n h w c`.
      real: drawn masks `n h w`.
      fake: predicted probabilities `n h w`, detached.
      axis_name: pmap axis, if any.
    """
    pairs = jnp.concatenate([ct, ct]), jnp.concatenate([real, fake])
    logits: Any = discriminator.apply({"params": d_params}, *pairs)
    real_logits, fake_logits = jnp.split(logits, 2)
    loss = 0.5 * (
        losses.adversarial_loss(real_logits, True, axis_name=axis_name)
        + losses.adversarial_loss(fake_logits, False, axis_name=axis_name)
    )
    accuracy = losses.patch_accuracy(real_logits, fake_logits, axis_name=axis_name)
    return loss, {"discriminator_loss": loss, "discriminator_accuracy": accuracy}


def generator_loss(
    logits: jax.Array,
    target: jax.Array,
    weights: Mapping[str, float],
    *,
    judge: tuple[nn.Module, Any, jax.Array] | None,
    adversarial_weight: jax.Array | float,
    axis_name: str | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Weighted sum of L1, Dice, cross-entropy and, with a judge, the adversarial term.

    Args:
      logits: `b k h w`.
      target: `b k h w`, 0..1.
      weights: of `l1`, `dice`, `cross_entropy`.
      judge: discriminator, its (updated) parameters, CT slices `(b k) h w c`.
      adversarial_weight: weight of the judge's term.
      axis_name: pmap axis, if any.
    """
    probability = nn.sigmoid(logits)
    outputs = {
        "l1": losses.l1(probability, target, axis_name=axis_name),
        "dice_loss": losses.dice_loss(probability, target, axis_name=axis_name),
        "cross_entropy": losses.cross_entropy(logits, target, axis_name=axis_name),
    }
    loss = (
        weights["l1"] * outputs["l1"]
        + weights["dice"] * outputs["dice_loss"]
        + weights["cross_entropy"] * outputs["cross_entropy"]
    )
    if judge is not None:
        discriminator, d_params, ct = judge
        fracture = probability.reshape(ct.shape[:-1])
        verdict: Any = discriminator.apply({"params": d_params}, ct, fracture)
        outputs["adversarial"] = losses.adversarial_loss(verdict, True, axis_name=axis_name)
        loss += adversarial_weight * outputs["adversarial"]
    return loss, outputs | {"loss": loss}


def _update(
    optimizer: optax.GradientTransformation,
    gradient: Any,
    opt_state: optax.OptState,
    params: Any,
    axis_name: str | None,
) -> tuple[Any, optax.OptState]:
    if axis_name is not None:
        # Each device differentiated the global loss once: the mean of the copies is its gradient.
        gradient = lax.pmean(gradient, axis_name)
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    return optax.apply_updates(params, updates), opt_state
