"""One step function on one device or many, by `jax.jit` over a mesh or by `jax.pmap`."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from clu import metrics
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vfseg.errors import UserError
from vfseg.training.stages import Phase
from vfseg.training.state import TrainState

AXIS = "data"

Step = Callable[..., tuple[TrainState, metrics.Collection]]


class JitRunner:
    """Each device of a mesh runs the step on its part of the batch; state is on every device.

    The devices exchange what `vfseg.training.collectives` says, each gradient as one array
    (`jax.shard_map`). A compiler that splits the whole batch by itself would make them wait for
    each other at every array of a gradient. The batch is the global one: each of several processes
    hands over its share, and the arrays are joined without leaving the device that holds them.
    """

    def __init__(self, step: Step, devices: Sequence[jax.Device]):
        """Compiles nothing yet.

        Args:
            step: `(state, batch, *, phase, axis_name)` -> `(state, metrics)`.
            devices: the mesh, along one axis.
        """
        mesh = Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))
        self._split = NamedSharding(mesh, PartitionSpec(AXIS))
        self._whole = NamedSharding(mesh, PartitionSpec())

        @functools.partial(jax.jit, static_argnames="phase", donate_argnums=0)
        def train_step(state: TrainState, batch: Mapping[str, jax.Array], phase: Phase):
            return jax.shard_map(
                functools.partial(step, phase=phase, axis_name=AXIS),
                mesh=mesh,
                in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
                out_specs=PartitionSpec(),
                check_vma=False,  # state and metrics are equal everywhere: gradients are averaged
            )(state, batch)

        self._step = train_step

    def put_state(self, state: TrainState) -> TrainState:
        """State on every device."""
        # device_put may alias the host's memory, and the step donates its state: copy first.
        return jax.device_put(jax.tree.map(np.array, state), self._whole)

    def put_batch(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        """This process's share of the batch, split over its devices."""
        return {
            name: jax.make_array_from_process_local_data(self._split, array)
            for name, array in batch.items()
        }

    def step(self, state: TrainState, batch: Mapping[str, jax.Array], *, phase: Phase):
        """Runs one step; the state given is consumed. Returns the next state and the metrics."""
        return self._step(state, batch, phase=phase)

    def compile(
        self, state: TrainState, shapes: Mapping[str, jax.ShapeDtypeStruct], *, phase: Phase
    ) -> jax.stages.Compiled:
        """Compiles a step, which `step` then runs.

        Args:
            state: from `put_state`; it is not consumed.
            shapes: of the global batch.
            phase: of the step.
        """
        placed = {
            name: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=self._split)
            for name, array in shapes.items()
        }
        return self._step.lower(state, placed, phase=phase).compile()

    def lower(self, state: TrainState, batch: Mapping[str, jax.Array], *, phase: Phase):
        """The program of a step before it is compiled, to look into; nothing runs."""
        return self._step.lower(state, batch, phase=phase)

    def get(self, tree: Any) -> Any:
        """One copy, on the host."""
        return jax.device_get(tree)


class PmapRunner:
    """The same by `jax.pmap`, within one process; arrays have a leading axis of devices."""

    def __init__(self, step: Step, devices: Sequence[jax.Device]):
        """As `JitRunner`."""
        mesh = Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))
        self._copies = len(devices)
        self._split = NamedSharding(mesh, PartitionSpec(AXIS))

        @functools.cache
        def mapped(phase: Phase):
            def call(state, batch):
                return step(state, batch, phase=phase, axis_name=AXIS)

            return jax.pmap(call, AXIS, devices=devices, donate_argnums=0)

        self._steps = mapped

    def put_state(self, state: TrainState) -> TrainState:
        """One copy a device, along a new leading axis."""
        stacked = jax.tree.map(lambda x: np.stack([np.asarray(x)] * self._copies), state)
        return jax.device_put(stacked, self._split)

    def put_batch(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        """`b ...` -> `device b/device ...`, each part on its device."""
        return {
            name: jax.device_put(x.reshape(self._copies, -1, *x.shape[1:]), self._split)
            for name, x in batch.items()
        }

    def step(self, state: TrainState, batch: Mapping[str, Any], *, phase: Phase):
        """As `JitRunner.step`."""
        return self._steps(phase)(state, batch)

    def compile(
        self, state: TrainState, shapes: Mapping[str, jax.ShapeDtypeStruct], *, phase: Phase
    ) -> jax.stages.Compiled:
        """As `JitRunner.compile`."""
        placed = {
            name: jax.ShapeDtypeStruct(
                (self._copies, x.shape[0] // self._copies, *x.shape[1:]),
                x.dtype,
                sharding=self._split,
            )
            for name, x in shapes.items()
        }
        return self._steps(phase).lower(state, placed).compile()

    def get(self, tree: Any) -> Any:
        """The first device's copy, on the host."""
        return jax.device_get(jax.tree.map(lambda x: x[0], tree))


_RUNNERS: dict[str, type[JitRunner] | type[PmapRunner]] = {"jit": JitRunner, "pmap": PmapRunner}


def make_runner(
    step: Step, parallel: str, batch_size: int, devices: Sequence[jax.Device] | None = None
) -> JitRunner | PmapRunner:
    """The runner that the config names.

    Args:
        step: see `JitRunner`.
        parallel: one of `vfseg.training.settings.RUNNERS`.
        batch_size: runs of a batch; divides among the devices.
        devices: by default all of them; of a CPU's cores the most that the batch divides among.

    Raises:
        UserError: the batch does not divide among the devices, or "pmap" is to run in several
            processes.
    """
    if parallel == "pmap" and jax.process_count() > 1:
        raise UserError(
            "config.parallel=pmap: works within one process. Run several with config.parallel=jit."
        )
    if devices is None:
        # Each process holds neighbouring parts of the batch: see `BatchFeed`.
        devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
        if devices[0].platform == "cpu" and jax.process_count() == 1:
            fitting = [n for n in range(1, len(devices) + 1) if batch_size % n == 0]
            devices = devices[: max(fitting)]
    if batch_size % len(devices):
        raise UserError(
            f"config.windows.batch_size={batch_size} does not divide among {len(devices)} devices. "
            "Choose a multiple."
        )
    return _RUNNERS[parallel](step, devices)
