"""What the devices of a step tell each other; nothing else in it crosses from one to another.

The batch is split over devices. A loss is a number of the whole batch: each device computes parts
of it from its share, the parts of all losses cross together, and the losses follow from the totals.
So one device and many compute the same number; the mean of what each device's share gives would be
another loss, of the Dice for one.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree


class Part(NamedTuple):
    """What one device knows of a term from its share of the batch.

    Attributes:
        number: a sum or a mean over the share, float32.
        averaged: whether the mean of the devices' numbers counts, not their sum.
    """

    number: jax.Array
    averaged: bool


class Term(NamedTuple):
    """A number of the whole batch, known in parts until the devices have exchanged them.

    Attributes:
        parts: of this device.
        value: makes the number from the totals of the parts, one argument each.
    """

    parts: tuple[Part, ...]
    value: Callable[..., jax.Array]

    def alone(self) -> jax.Array:
        """The number where this device has the whole batch."""
        return Devices().exchange({"": self})[""]


def mean(x: jax.Array) -> Term:
    """Mean of `x` over the batch, any shape; every device holds an equal share.

    >>> float(mean(jnp.array([1.0, 2.0])).alone())
    1.5
    """
    return Term((Part(jnp.mean(x, dtype=jnp.float32), averaged=True),), lambda total: total)


def of_sums(value: Callable[..., jax.Array], *arrays: jax.Array) -> Term:
    """What `value` makes of the sums of some arrays over the batch.

    >>> float(of_sums(lambda a, b: a / b, jnp.array([1.0, 2.0]), jnp.array([4.0])).alone())
    0.75
    """
    sums = (jnp.sum(x, dtype=jnp.float32) for x in arrays)
    return Term(tuple(Part(number, averaged=False) for number in sums), value)


def weighted_mean(x: jax.Array, weights: jax.Array) -> Term:
    """``sum(w x) / sum(w)``, 0 where all weights are 0.

    >>> float(weighted_mean(jnp.array([1.0, 2.0]), jnp.array([3.0, 1.0])).alone())
    1.25
    """
    return of_sums(lambda total, weight: total / jnp.maximum(weight, 1e-6), weights * x, weights)


def combined(value: Callable[..., jax.Array], *terms: Term) -> Term:
    """What `value` makes of the numbers of some terms.

    >>> float(combined(lambda a, b: a - b, mean(jnp.ones(2)), mean(jnp.zeros(3))).alone())
    1.0
    """

    def of_all(*totals: jax.Array) -> jax.Array:
        rest = iter(totals)
        return value(*(t.value(*itertools.islice(rest, len(t.parts))) for t in terms))

    return Term(tuple(part for term in terms for part in term.parts), of_all)


class Devices(NamedTuple):
    """The devices that share a batch, as one of them sees them inside a step.

    Attributes:
        axis: of the devices, as `jax.shard_map` or `jax.pmap` names it; None: one has it all.
    """

    axis: str | None = None

    def places(self, samples: int) -> jax.Array:
        """Places in the whole batch of this device's samples, int32."""
        places = jnp.arange(samples)
        return places if self.axis is None else places + lax.axis_index(self.axis) * samples

    def exchange(self, terms: Mapping[str, Term]) -> dict[str, jax.Array]:
        """The numbers of all terms, by one sum over the devices.

        The parts cross as a tuple, which XLA exchanges at once. It would fuse an array of them with
        the sums that it is made of, and that changes their last bit.
        """
        parts = [part for term in terms.values() for part in term.parts]
        totals = [part.number for part in parts]
        if self.axis is not None:
            count, sums = lax.axis_size(self.axis), lax.psum(totals, self.axis)
            totals = [x / count if part.averaged else x for x, part in zip(sums, parts)]
        rest = iter(totals)
        return {
            name: term.value(*itertools.islice(rest, len(term.parts)))
            for name, term in terms.items()
        }

    def gradient(self, copies: Any) -> Any:
        """The gradient of a loss of the whole batch, from what each device found.

        Each differentiated the whole loss once, by way of its share: the mean is the gradient. It
        crosses as one array, since devices wait for each other at every array they exchange.
        """
        if self.axis is None:
            return copies
        joined, separate = ravel_pytree(copies)
        return separate(lax.pmean(joined, self.axis))
