"""A trained model as one StableHLO program, for programs that have JAX and not this package.

The program is for CPUs, CUDA and TPUs at once. Networks have forms by the kind of device (see
`vfseg.models.cpu_forms`), and so has it: on each it runs what a prediction runs there, from one
copy of the parameters. One form for all would either unroll scans and give up matrix units where
these are fast, or make a CPU wait for convolutions that it has no kernel for.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, export, lax

from vfseg import devices
from vfseg.inference.predict import SliceFunction
from vfseg.inference.views import Views

PLATFORMS = ("cpu", "cuda", "tpu")
_TOGETHER = 4
"""Views of a crop that go through the network at a time. More take more memory; for each group the
program has a copy of the network, which takes half a minute to compile."""


def exported_model(
    make_slices: Callable[[], SliceFunction],
    members: Sequence[Any],
    views: Views,
    crop_shape: tuple[int, int, int],
) -> export.Exported:
    """The program, whose `mlir_module_serialized` is a portable artifact of StableHLO.

    It maps crops, int16 HU `n d h w` with any n, to the probabilities float32 `n m*v d h w` of
    `Predictor.stream`; its first argument says for which of `PLATFORMS` it runs, and JAX gives it.

    Args:
        make_slices: of the model, for the kind of device of `vfseg.devices.kind`.
        members: parameters of the generator, of each model of an ensemble, or of the one.
        views: what is predicted of each crop.
        crop_shape: d, h, w.
    """

    def predict(members: Sequence[Any], crops: Array) -> Array:
        slices = make_slices()
        groups = list(_groups([jax.vmap(view.look)(crops) for view in views]))
        answers = []
        for params in members:
            seen: list[Array] = []  # n k h w of each view
            for runs in groups:
                found = slices(params, jnp.concatenate(runs))
                seen.extend(found.reshape(len(runs), *runs[0].shape))
            answers.append(jax.vmap(lambda *of_crop: views.back(of_crop))(*seen))
        return jnp.concatenate(answers, axis=1)

    def elsewhere(members: Sequence[Any], crops: Array) -> Array:
        with devices.made_for("gpu"):
            return predict(members, crops)

    def on_cpu(members: Sequence[Any], crops: Array) -> Array:
        with devices.made_for("cpu"):
            return predict(members, crops)

    def whole(crops: Array) -> Array:
        # Behind a barrier, or XLA computes what follows from constants while it compiles: minutes.
        params = lax.optimization_barrier(list(members))
        return lax.platform_dependent(params, crops, cpu=on_cpu, default=elsewhere)

    (n,) = export.symbolic_shape("n")
    crops = jax.ShapeDtypeStruct((n, *crop_shape), jnp.int16)
    return export.export(jax.jit(whole), platforms=PLATFORMS)(crops)


def _groups(runs: Sequence[Array]) -> Iterator[list[Array]]:
    """Runs of slices in their order, those of one shape and up to `_TOGETHER` in a group."""
    for _, of_shape in itertools.groupby(runs, lambda run: run.shape):
        several = list(of_shape)
        for first in range(0, len(several), _TOGETHER):
            yield several[first : first + _TOGETHER]
