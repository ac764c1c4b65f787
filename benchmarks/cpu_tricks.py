"""The forms that layers take on CPUs, beside the plain ones.

    python -m benchmarks.cpu_tricks [--device cpu|gpu] [--quick] [--json FILE]

At sizes at which the networks use them, forward alone and forward with backward. The ratio of the
plain form says how many times as long it takes: the factor that a docstring claims.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from unittest import mock

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import command, timing
from vfseg.models import cpu_forms
from vfseg.models.conv_lstm import ConvLSTM
from vfseg.models.conv_norm import max_pool_3x3
from vfseg.models.cpu_forms import DepthwiseConv, SmallConv
from vfseg.models.layers import GroupNorm, group_count, max_pool2

Form = Callable[[Any, jax.Array], jax.Array]
HERE, PLAIN = "as here", "plain"


class Trick(NamedTuple):
    """Two forms of one layer, functions of parameters and input.

    Attributes:
        here: the form that the package takes on a CPU.
        plain: the one that flax offers.
        params: of both.
        shape: of the input; its first axis counts slices, or windows.
    """

    here: Form
    plain: Form
    params: Any
    shape: tuple[int, ...]


def layers(here: nn.Module, plain: nn.Module, *shape: int) -> Trick:
    """Two modules with the same parameters."""
    params = here.init(jax.random.key(0), jnp.zeros(shape))["params"]
    return Trick(_form(here), _form(plain), params, shape)


def _form(module: nn.Module) -> Form:
    return lambda params, x: module.apply({"params": params}, x)  # type: ignore[return-value]


def rolled(params: Any, run: jax.Array) -> jax.Array:
    """A ConvLSTM as it runs on accelerators."""
    with mock.patch.object(cpu_forms, "on_cpu", return_value=False):
        return _form(ConvLSTM(32, window=5))(params, run)


def tricks(n: int) -> dict[str, Trick]:
    """All of them by name, on `n` slices each."""

    def conv(features: int, size: int, stride: int = 1, groups: int = 1) -> nn.Conv:
        return nn.Conv(features, (size, size), stride, feature_group_count=groups, use_bias=False)

    pools = {
        "Maximum of 2x2": (max_pool2, lambda x: nn.max_pool(x, (2, 2), (2, 2))),
        "Maximum of 3x3, stride 2": (
            max_pool_3x3,
            lambda x: nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))),
        ),
    }
    lstm = layers(ConvLSTM(32, window=5), ConvLSTM(32, window=5), n // 4, 8, 12, 12, 64)
    return {
        "Depthwise 3x3": layers(DepthwiseConv(3), conv(144, 3, groups=144), n, 12, 12, 144),
        "Depthwise 5x5, stride 2": layers(
            DepthwiseConv(5, 2), conv(144, 5, 2, groups=144), n, 12, 12, 144
        ),
        "3x3 on 2x2 pixels": layers(SmallConv(512, 3), conv(512, 3), n, 2, 2, 512),
        "3x3 on 3x3 pixels, stride 2": layers(SmallConv(512, 3, 2), conv(512, 3, 2), n, 3, 3, 256),
        "ConvLSTM over 5 slices": lstm._replace(plain=rolled),
        "GroupNorm": layers(GroupNorm(), nn.GroupNorm(group_count(32)), n, 48, 48, 32),
        **{
            name: Trick(lambda _, x, f=f: f(x), lambda _, x, g=g: g(x), {}, (n, 48, 48, 32))
            for name, (f, g) in pools.items()
        },
    }


def backward(form: Form) -> Callable[[Any, jax.Array, jax.Array], Any]:
    """Gradients by parameters and input, for a random slope of every output."""

    def weighed(params: Any, x: jax.Array, slope: jax.Array) -> jax.Array:
        return jnp.sum(slope * form(params, x))

    return jax.grad(weighed, (0, 1))


def race(name: str, trick: Trick, rounds: int) -> tuple[timing.Table, timing.Table]:
    """Both forms, forward alone and with backward."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=trick.shape), jnp.float32)
    shape = jax.eval_shape(trick.here, trick.params, x).shape
    slope = jnp.asarray(rng.normal(size=shape), jnp.float32)

    def table(what: str, runs: Mapping[str, Callable[[], Any]]) -> timing.Table:
        title = f"{name}, input {'x'.join(map(str, trick.shape))}: {what}"
        task = timing.Task(title, trick.shape[0], "inputs/s")
        return timing.race(task, runs, baseline=HERE, rounds=rounds)

    forms = {HERE: trick.here, PLAIN: trick.plain}
    forward = {f: jax.jit(form) for f, form in forms.items()}
    both = {f: jax.jit(backward(form)) for f, form in forms.items()}
    runs = {f: lambda g=g: g(trick.params, x) for f, g in forward.items()}
    both_runs = {f: lambda g=g: g(trick.params, x, slope) for f, g in both.items()}
    return table("forward", runs), table("forward and backward", both_runs)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints two tables for each trick."""
    args = command.arguments(__doc__ or "", argv)
    found = [
        table
        for name, trick in tricks(4 if args.quick else 32).items()
        for table in race(name, trick, rounds=3 if args.quick else 20)
    ]
    command.publish(found, args.json)


if __name__ == "__main__":
    main()
