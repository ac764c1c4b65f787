"""The alternating update of pix2pix, as one pure function.

Reference:
    Isola et al., 2017, CVPR: Image-to-image translation with conditional adversarial networks.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from clu import metrics
from jax import lax

from vfseg.models.slice_network import SliceNetwork
from vfseg.training.adversary import (
    ACCURACY_MEMORY,
    AdversaryUpdate,
    Pairs,
    deception_loss,
    discriminator_loss,
)
from vfseg.training.batch import DataSettings, middle, prepare_batch, whole_slices
from vfseg.training.collectives import Devices, Term, weighted_mean
from vfseg.training.losses import SUPERVISED_LOSSES
from vfseg.training.schedules import Schedule
from vfseg.training.stages import Phase
from vfseg.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class GeneratorUpdate:
    """The generator and how it learns.

    Attributes:
        network: maps runs to logits, see `vfseg.models.slice_network`.
        optimizer: directions of its updates, before the learning rate.
        rate: its learning rate by step.
        ema_decay: of the running mean of its parameters, 0..1; 0 follows them.
        frozen: maps its parameters to a tree of bool, True for those that a frozen phase leaves
            alone.
    """

    network: SliceNetwork
    optimizer: optax.GradientTransformation
    rate: Schedule
    ema_decay: float
    frozen: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """What a step needs besides state and batch; static, so the step compiles once.

    Attributes:
        generator: the network that looks for fractures.
        adversary: the discriminator it plays against.
        losses: weights of the supervised losses by name (`SUPERVISED`); those of 0 are not
            computed.
        data: what becomes of a batch before the networks see it.
    """

    generator: GeneratorUpdate
    adversary: AdversaryUpdate
    losses: Mapping[str, float]
    data: DataSettings


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
    detached, and its pull-back serves the generator's gradient afterwards. Devices exchange the
    losses and the gradient of the one network, then those of the other, see `Devices`.

    Args:
        state: parameters, optimiser states, step and key.
        batch: `ct` int16 HU `b r h w`, runs of slices; `target` uint8 0/1 `b k h w`, the fracture
            mask of their middle slices; `plane` int32 `b`, numbers as in `PLANE_AXES`.
        settings: static.
        phase: static; a phase without discriminator or recurrence leaves it out altogether (a
            branch inside the compiled step would be cheaper to compile, but XLA for CPU runs
            convolutions in a branch 40 times slower).
        axis_name: the axis of devices over which the batch is split; None where it is whole.

    Returns:
        The next state and the step's metrics.
    """
    devices = Devices(axis_name)
    generator = settings.generator
    b, k, h, w = batch["target"].shape
    if not phase.recurrent:  # nobody looks at the neighbours: they need not be augmented
        batch = {**batch, "ct": middle(batch["ct"], k)}
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key_data), state.step)
    run, target = prepare_batch(batch, key, devices.places(b), settings.data)
    if generator.network.judges_slices:
        target = whole_slices(target)
    dilation = (run.shape[1] - k) // max(generator.network.window - 1, 1)

    def generate(g_params: Any) -> Any:
        variables = {"params": g_params}
        return generator.network.apply(variables, run, dilation, recurrent=phase.recurrent)

    logits, pull_back = jax.vjp(generate, state.g_params)
    outputs: dict[str, Any] = {}
    judge: Judge | None = None
    if phase.adversarial:
        ct, real = middle(run, k).reshape(b * k, h, w, -1), target.reshape(b * k, h, w)
        fake = lax.stop_gradient(nn.sigmoid(logits)).reshape(b * k, h, w)
        pairs = Pairs(ct, real, fake)
        state, outputs = _update_discriminator(state, pairs, settings.adversary, devices)
        judge = _judge(state, pairs, settings.adversary)

    objective = functools.partial(
        generator_loss, target=target, weights=settings.losses, judge=judge, devices=devices
    )
    logits_gradient, g_outputs = jax.grad(objective, has_aux=True)(logits)
    (g_gradient,) = pull_back(logits_gradient)
    if phase.frozen:  # what never had a gradient does not move, see `adam`
        g_gradient = jax.tree.map(
            lambda still, g: jnp.zeros_like(g) if still else g,
            generator.frozen(state.g_params),
            g_gradient,
        )
    rate = generator.rate(state.step)
    g_params, g_opt_state, norm = _update(
        generator.optimizer, devices.gradient(g_gradient), state.g_opt_state, state.g_params, rate
    )
    outputs |= g_outputs | {"gradient_norm": norm, "learning_rate": rate}
    state = dataclasses.replace(
        state,
        step=state.step + 1,
        g_params=g_params,
        g_opt_state=g_opt_state,
        ema_params=_running_mean(state, g_params, generator.ema_decay),
    )
    return state, collection(tuple(sorted(outputs))).single_from_model_output(**outputs)


@functools.lru_cache
def collection(names: tuple[str, ...]) -> type[metrics.Collection]:
    """Means over the steps since the last log line, kept on the device."""
    return metrics.Collection.create(**{n: metrics.Average.from_output(n) for n in names})


class Judge(NamedTuple):
    """What the discriminator says of the generator's maps.

    Attributes:
        loss: of maps `b k h w` of this device: low where they pass for drawn ones.
        weight: in the generator's loss.
    """

    loss: Callable[[jax.Array], Term]
    weight: jax.Array


def generator_loss(
    logits: jax.Array,
    target: jax.Array,
    weights: Mapping[str, float],
    judge: Judge | None,
    devices: Devices,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Weighted sum of the supervised losses and, with a judge, the adversarial one.

    Args:
        logits: `b k h w`.
        target: `b k h w`, 0..1.
        weights: of the supervised losses by name.
        judge: the discriminator; None leaves it out.
        devices: that share the batch.

    Returns:
        The loss; its terms, and the mean probability on fracture and on background, which tell a
        network that has collapsed to background.
    """
    probability = nn.sigmoid(logits)
    weights = {name: weight for name, weight in weights.items() if weight}
    terms = {
        f"{name}_loss": SUPERVISED_LOSSES[name](logits, probability, target) for name in weights
    }
    if judge is not None:
        terms["adversarial_loss"] = judge.loss(probability)
    watched = lax.stop_gradient(probability)
    terms["probability_on_fracture"] = weighted_mean(watched, target)
    terms["probability_on_background"] = weighted_mean(watched, 1 - target)
    outputs = devices.exchange(terms)
    loss = jnp.zeros(())
    for name, weight in weights.items():
        loss = loss + weight * outputs[f"{name}_loss"]
    if judge is not None:
        loss += judge.weight * outputs["adversarial_loss"]
        outputs["adversarial_weight"] = judge.weight
    return loss, outputs | {"loss": loss}


def _judge(state: TrainState, pairs: Pairs, settings: AdversaryUpdate) -> Judge:
    variables = {"params": state.d_params, "batch_stats": state.d_stats}

    def loss(probability: jax.Array) -> Term:
        shown = pairs._replace(fake=probability.reshape(pairs.fake.shape))
        return deception_loss(variables, shown, settings)

    return Judge(loss, settings.weight(state.step))


def _update_discriminator(
    state: TrainState, pairs: Pairs, settings: AdversaryUpdate, devices: Devices
) -> tuple[TrainState, dict[str, jax.Array]]:
    """The discriminator's turn; it rests while its running accuracy is too high."""
    d_gradient, (outputs, d_stats) = jax.grad(discriminator_loss, has_aux=True)(
        state.d_params, state.d_stats, pairs, settings, devices
    )
    rate = settings.rate(state.step)
    d_params, d_opt_state, norm = _update(
        settings.optimizer, devices.gradient(d_gradient), state.d_opt_state, state.d_params, rate
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
) -> tuple[Any, optax.OptState, jax.Array]:
    """Next parameters and optimiser state, and the norm of the gradient before any clipping."""
    direction, opt_state = optimizer.update(gradient, opt_state, params)
    params = jax.tree.map(lambda p, d: p - rate * d, params, direction)
    return params, opt_state, optax.tree.norm(gradient)
