"""The alternating update of pix2pix, as one pure function.

Reference:
    Isola et al., 2017, CVPR: Image-to-image translation with conditional adversarial networks.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from clu import metrics
from jax import lax
from jax.flatten_util import ravel_pytree

from vfseg.crops.augment import AugmentSettings, augment
from vfseg.crops.intensity import to_channels
from vfseg.models.discriminator import Discriminator
from vfseg.training import losses
from vfseg.training.adversary import ACCURACY_MEMORY, discriminator_loss, patch_weights
from vfseg.training.schedules import Schedule
from vfseg.training.stages import Phase
from vfseg.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """What a step needs besides state and batch; static, so the step compiles once.

    Attributes:
        generator: maps runs to logits, see `vfseg.models.generator`.
        discriminator: see `vfseg.models.discriminator`.
        g_optimizer: directions of the generator's updates, before the learning rate.
        d_optimizer: the same of the discriminator.
        g_rate: learning rate of the generator by step.
        d_rate: learning rate of the discriminator by step of the whole training.
        adversarial_schedule: weight of the adversarial term by step.
        adversarial_form: one of `losses.ADVERSARIAL_FORMS`.
        adversarial_everywhere: False judges only patches that show something.
        r1: weight of the discriminator's gradient penalty.
        pause_above: the discriminator rests while its running accuracy is above this.
        loss_weights: weights of the supervised terms (`SUPERVISED`); those of 0 are not computed.
        ema_decay: of the running mean of the generator's parameters; 0 follows them.
        frozen: maps the generator's parameters to a tree of bool, True for those that a frozen
            phase leaves alone.
        hu_windows: `(low, high)` in HU, one a channel.
        augment: strengths of the augmentation.
        voxel_spacing: of the crops, mm.
    """

    generator: nn.Module
    discriminator: Discriminator
    g_optimizer: optax.GradientTransformation
    d_optimizer: optax.GradientTransformation
    g_rate: Schedule
    d_rate: Schedule
    adversarial_schedule: Schedule
    adversarial_form: str
    adversarial_everywhere: bool
    r1: float
    pause_above: float
    loss_weights: Mapping[str, float]
    ema_decay: float
    frozen: Callable[[Any], Any]
    hu_windows: tuple[tuple[float, float], ...]
    augment: AugmentSettings
    voxel_spacing: float


# Each takes logits, probabilities and target, all `b k h w`.
SUPERVISED: dict[str, Callable[..., jax.Array]] = {
    "l1": lambda logits, p, y, axis: losses.l1(p, y, axis_name=axis),
    "dice": lambda logits, p, y, axis: losses.dice_loss(p, y, axis_name=axis),
    "cross_entropy": lambda logits, p, y, axis: losses.cross_entropy(logits, y, axis_name=axis),
    "focal": lambda logits, p, y, axis: losses.focal_loss(logits, y, axis_name=axis),
    "focal_tversky": lambda logits, p, y, axis: losses.focal_tversky_loss(p, y, axis_name=axis),
}


def train_step(
    state: TrainState,
    batch: Mapping[str, jax.Array],
    settings: StepSettings,
    *,
    phase: Phase,
    axis_name: str | None = None,
) -> tuple[TrainState, metrics.Collection]:
    """One update of the discriminator, then one of the generator against the updated discriminator.

    The generator's forward pass is computed once: its value feeds the discriminator's update,
    detached, and its pull-back serves the generator's gradient afterwards.

    Args:
        state: parameters, optimiser states, step and key.
        batch: `ct` int16 HU `b r h w`, runs of slices; `target` uint8 0/1 `b k h w`, the fracture
            mask of their middle slices; `plane` int32 `b`, as numbered in `PLANES`.
        settings: static.
        phase: static; a phase without discriminator or recurrence leaves it out altogether (a
            branch inside the compiled step would be cheaper to compile, but XLA for CPU runs
            convolutions in a branch 40 times slower).
        axis_name: the axis of devices over which the batch is split; None where it is whole.

    Returns:
        The next state and the step's metrics.
    """
    if not phase.recurrent:  # nobody looks at the neighbours: they need not be augmented
        batch = {**batch, "ct": _middle(batch["ct"], batch["target"].shape[1])}
    run, target = prepare_batch(state, batch, settings, axis_name)
    b, k, h, w = target.shape
    window: int = settings.generator.window  # type: ignore[attr-defined]
    dilation = (run.shape[1] - k) // max(window - 1, 1)

    def generate(g_params: Any) -> Any:
        return settings.generator.apply({"params": g_params}, run, dilation, phase.recurrent)

    logits, pull_back = jax.vjp(generate, state.g_params)

    ct = _middle(run, k).reshape(b * k, h, w, -1)
    outputs: dict[str, Any] = {}
    judge: Callable[[jax.Array], Any] | None = None
    if phase.adversarial:
        fake = lax.stop_gradient(nn.sigmoid(logits)).reshape(b * k, h, w)
        real = target.reshape(b * k, h, w)
        state, outputs = _update_discriminator(state, ct, real, fake, settings, axis_name)
        variables = {"params": state.d_params, "batch_stats": state.d_stats}
        judge = functools.partial(settings.discriminator.apply, variables, ct)

    def objective(logits: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        weight = settings.adversarial_schedule(state.step)
        return generator_loss(logits, target, settings, judge, weight, axis_name)

    logits_gradient, g_outputs = jax.grad(objective, has_aux=True)(logits)
    (g_gradient,) = pull_back(logits_gradient)
    if phase.frozen:  # what never had a gradient does not move, see `adam`
        g_gradient = jax.tree.map(
            lambda still, g: jnp.zeros_like(g) if still else g,
            settings.frozen(state.g_params),
            g_gradient,
        )
    rate = settings.g_rate(state.step)
    g_params, g_opt_state, norm = _update(
        settings.g_optimizer, g_gradient, state.g_opt_state, state.g_params, rate, axis_name
    )
    outputs |= g_outputs | {"gradient_norm": norm, "learning_rate": rate}
    state = dataclasses.replace(
        state,
        step=state.step + 1,
        g_params=g_params,
        g_opt_state=g_opt_state,
        ema_params=_running_mean(state, g_params, settings.ema_decay),
    )
    return state, collection(tuple(sorted(outputs))).single_from_model_output(**outputs)


def _middle(run: jax.Array, k: int) -> jax.Array:
    """The k middle slices, those with targets, of runs `b r ...`."""
    first = (run.shape[1] - k) // 2
    return run[:, first : first + k]


@functools.lru_cache
def collection(names: tuple[str, ...]) -> type[metrics.Collection]:
    """Means over the steps since the last log line, kept on the device."""
    return metrics.Collection.create(**{n: metrics.Average.from_output(n) for n in names})


def prepare_batch(
    state: TrainState,
    batch: Mapping[str, jax.Array],
    settings: StepSettings,
    axis_name: str | None,
) -> tuple[jax.Array, jax.Array]:
    """Augments on the device and scales HU: runs `b r h w c` in -1..1, targets `b k h w` in 0..1.

    A sample's random numbers depend on the step and on its place in the global batch, so one
    device and many draw the same. A network that judges slices as a whole gets the question "any
    fracture in this slice?", the same answer in every pixel.
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key_data), state.step)
    places = jnp.arange(batch["ct"].shape[0])
    if axis_name is not None:
        places += lax.axis_index(axis_name) * len(places)
    ct, target = augment(
        jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, places),
        batch["ct"].astype(jnp.float32),
        batch["target"].astype(jnp.float32),
        batch["plane"],
        settings.augment,
        voxel_spacing=settings.voxel_spacing,
    )
    if getattr(settings.generator, "judges_slices", False):
        target = jnp.broadcast_to(jnp.max(target, axis=(2, 3), keepdims=True), target.shape)
    return to_channels(ct, settings.hu_windows), target


def generator_loss(
    logits: jax.Array,
    target: jax.Array,
    settings: StepSettings,
    judge: Callable[[jax.Array], Any] | None,
    adversarial_weight: jax.Array,
    axis_name: str | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Weighted sum of the supervised terms and, with a judge, the adversarial one.

    Args:
        logits: `b k h w`.
        target: `b k h w`, 0..1.
        settings: its `loss_weights` and `adversarial_form` count here.
        judge: maps fracture maps `(b k) h w` to the discriminator's logits.
        adversarial_weight: weight of the judge's term.
        axis_name: axis of the devices that share the batch, if any.

    Returns:
        The loss; its terms, and the mean probability on fracture and on background, which tell a
        network that has collapsed to background.
    """
    probability = nn.sigmoid(logits)
    loss, outputs = jnp.zeros(()), {}
    for name, weight in settings.loss_weights.items():
        if weight:
            term = SUPERVISED[name](logits, probability, target, axis_name)
            loss, outputs[f"{name}_loss"] = loss + weight * term, term
    if judge is not None:
        b, k, h, w = target.shape
        fake = probability.reshape(b * k, h, w)
        verdict = judge(fake)
        weights = None
        if not settings.adversarial_everywhere:
            weights = patch_weights(target.reshape(b * k, h, w), fake, verdict.shape)
        term = losses.adversarial_loss(
            verdict,
            True,
            form=settings.adversarial_form,
            generator=True,
            weights=weights,
            axis_name=axis_name,
        )
        loss += adversarial_weight * term
        outputs |= {"adversarial_loss": term, "adversarial_weight": adversarial_weight}
    on_fracture, on_background = losses.mean_by_class(probability, target, axis_name=axis_name)
    return loss, outputs | {
        "loss": loss,
        "probability_on_fracture": on_fracture,
        "probability_on_background": on_background,
    }


def _update_discriminator(
    state: TrainState,
    ct: jax.Array,
    real: jax.Array,
    fake: jax.Array,
    settings: StepSettings,
    axis_name: str | None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """The discriminator's turn; it rests while its running accuracy is too high."""
    d_gradient, (outputs, d_stats) = jax.grad(discriminator_loss, has_aux=True)(
        state.d_params,
        state.d_stats,
        settings.discriminator,
        *(ct, real, fake),
        form=settings.adversarial_form,
        everywhere=settings.adversarial_everywhere,
        r1=settings.r1,
        axis_name=axis_name,
    )
    rate = settings.d_rate(state.step)
    d_params, d_opt_state, norm = _update(
        settings.d_optimizer, d_gradient, state.d_opt_state, state.d_params, rate, axis_name
    )
    won = state.d_accuracy > settings.pause_above
    old, new = (
        (state.d_params, state.d_opt_state, state.d_stats),
        (d_params, d_opt_state, d_stats),
    )
    d_params, d_opt_state, d_stats = jax.tree.map(lambda a, b: jnp.where(won, a, b), old, new)
    outputs |= {
        "discriminator_paused": won.astype(jnp.float32),
        "discriminator_gradient_norm": norm,
        "discriminator_learning_rate": rate,
    }
    accuracy = outputs["discriminator_accuracy"]
    return (
        dataclasses.replace(
            state,
            d_params=d_params,
            d_opt_state=d_opt_state,
            d_stats=d_stats,
            d_accuracy=ACCURACY_MEMORY * state.d_accuracy + (1 - ACCURACY_MEMORY) * accuracy,
        ),
        outputs,
    )


def _running_mean(state: TrainState, g_params: Any, decay: float) -> Any:
    """Exponential moving average of the parameters.

    The decay begins lower, ``min(decay, (1 + t) / (10 + t))``, so that the start is forgotten. In
    this form the mean of what does not move is that, to the bit.
    """
    keep = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
    return jax.tree.map(lambda a, b: b + keep * (a - b), state.ema_params, g_params)


def _update(
    optimizer: optax.GradientTransformation,
    gradient: Any,
    opt_state: optax.OptState,
    params: Any,
    rate: jax.Array,
    axis_name: str | None,
) -> tuple[Any, optax.OptState, jax.Array]:
    """Next parameters and optimiser state, and the norm of the gradient before any clipping."""
    if axis_name is not None:
        # Each device differentiated the global loss once: the mean of the copies is its gradient.
        # As one array, since devices wait for each other at every array that they exchange.
        joined, separate = ravel_pytree(gradient)
        gradient = separate(lax.pmean(joined, axis_name))
    direction, opt_state = optimizer.update(gradient, opt_state, params)
    params = jax.tree.map(lambda p, d: p - rate * d, params, direction)
    return params, opt_state, optax.tree.norm(gradient)
