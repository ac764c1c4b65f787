"""Many processes as one run: they join, share work, hand results around, and end together.

Each process drives the devices of its own machine; all of them run the same program in the same
order. What they tell each other apart from gradients goes through the key-value store of JAX's
coordination service, on the hosts, so that waiting for hours (for the preparation, say) needs no
device and ends at once where another process fails.

Folds of a cross-validation need none of this: processes that share them out work `apart`, and a
fold that needs a group of them is a run of its own, `--config.split.fold=K`.
"""

import contextlib
import ipaddress
import itertools
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar, Union

import jax
from jax._src import clusters, distributed  # neither has a public name

from vfseg import devices, locks
from vfseg.errors import UserError, in_short
from vfseg.messages import LARGEST, from_bytes, to_bytes
from vfseg.stopping import INTERRUPTED, Stopped

Item = TypeVar("Item")
Result = TypeVar("Result")

_HEARTBEAT_SECONDS = 30  # a process that was killed is missed after so long
_DETECTION_SECONDS = 300
_PART_BYTES = 2**20  # messages of the store are limited
_rounds = itertools.count()


def join(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Joins the processes of a run; before anything else that JAX does.

    Args:
        coordinator: `HOST:PORT` of process 0, see `_listening`. None, like the other two, where the
            cluster is one that JAX recognises: SLURM, Kubernetes, Open MPI, a TPU pod.
        processes: how many.
        process: which of them this one is, from 0.

    Raises:
        UserError: no cluster was recognised, or the others did not come.
    """
    _initialize(coordinator, processes, process)
    threading.Thread(target=_end_with_the_others, daemon=True).start()


def _initialize(coordinator: str | None, processes: int | None, process: int | None) -> None:
    # SIGTERM is ours (see `interrupt`): JAX's service would only note it.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        named = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
        if named is None:
            ask = clusters.ClusterEnv.auto_detect_unset_distributed_params
            named = ask(None, processes, process, None, None, _DETECTION_SECONDS)[0]
        jax.distributed.initialize(
            named,
            processes,
            process,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
            coordinator_bind_address=_listening(named),
        )
    except Exception as error:  # from the cluster's own interface it may be anything
        raise UserError(
            f"the processes could not be joined ({in_short(error)}). --distributed works "
            "where JAX recognises the cluster (SLURM, Kubernetes, Open MPI, TPU pods); elsewhere "
            "give each process --coordinator=HOST:PORT --processes=N --process=I, with an address "
            "of process 0's machine that the others reach."
        ) from error


def _listening(coordinator: str | None) -> str | None:
    """Where process 0 listens: at the address that was named or recognised, and at no other.

    JAX itself would listen on every interface of the machine. `JAX_COORDINATOR_BIND_ADDRESS` names
    another address; a host that calls itself a loopback address, as some do in /etc/hosts, cannot
    be reached there by others, and is left to JAX.
    """
    bound = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS")
    if bound or coordinator is None:
        return bound
    host = coordinator.rpartition(":")[0].strip("[]")
    with contextlib.suppress(OSError, ValueError):
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
        means_it = host == "localhost" or host in found
        if not means_it and all(ipaddress.ip_address(one).is_loopback for one in found):
            return None
    return coordinator


def apart() -> tuple[int, int]:
    """Which one of how many processes of a cluster this is, each of which then works for itself.

    They join, which tells them and gives each one its devices, and part before JAX opens these:
    afterwards every one is alone. None waits for another, and none ends with another.

    Raises:
        UserError: no cluster was recognised, or the others did not come.
    """
    _initialize(None, None, None)
    found = index(), count()
    jax.distributed.shutdown()
    distributed.global_state.process_id, distributed.global_state.num_processes = 0, 1
    return found


@contextlib.contextmanager
def together(coordinator: str | None, processes: int | None, process: int | None) -> Iterator[None]:
    """The processes of a run, joined: they end together, well or not. Arguments as `join`.

    Nothing after it runs: threads that listen to the others do not outlive Python's own clean end.
    """
    join(coordinator, processes, process)
    try:
        devices.start()  # all of them now: later, one process would wait for the others' devices
        yield
        wait()
    except SystemExit as end:  # agreed by all: see `interrupt`
        leave(int(end.code or 0))
    except Stopped as stopped:
        abandon(str(stopped), stopped.status)
    except UserError as error:
        abandon(str(error), 2)
    except KeyboardInterrupt:
        abandon(INTERRUPTED, 130)
    except Exception as error:
        traceback.print_exc()
        abandon(f"{type(error).__name__}: {error}", 1)
    leave(0)


def count() -> int:
    """How many processes there are; 1 where none were joined."""
    return distributed.global_state.num_processes if distributed.global_state.client else 1


def index() -> int:
    """Which of them this one is, from 0."""
    return distributed.global_state.process_id if distributed.global_state.client else 0


def is_first() -> bool:
    """Whether this is the process that writes what there is to be once."""
    return index() == 0


def share(items: Sequence[Item]) -> Sequence[Item]:
    """This process's part of some work: every item is in the part of exactly one process."""
    return items[index() :: count()]


def gather(result: Result, kind: Any, channel: str = "") -> list[Result]:
    """The results of all processes, in their order, on each of them; waits for the last.

    Args:
        result: of this process; what a message can hold, see `vfseg.messages`.
        kind: of it: its type, with which the others read it.
        channel: "" for the main thread, which calls this in the same order on every process;
            another name is good for one call.
    """
    if count() == 1:
        return [result]
    name = channel or f"round{next(_rounds)}"
    content = to_bytes(result)
    parts = range(0, len(content), _PART_BYTES)
    for number, start in enumerate(parts):
        part = content[start : start + _PART_BYTES]
        _client().key_value_set_bytes(f"vfseg/{name}/{index()}/{number}", part)
    tell(f"{name}/{index()}/parts", str(len(parts)))
    results = []
    for process in range(count()):
        number_of_parts = int(_wait_for(f"{name}/{process}/parts"))
        if number_of_parts > LARGEST // _PART_BYTES:  # compressed, a message is no larger
            raise ValueError(f"a message of process {process} in {number_of_parts} parts")
        keys = [f"vfseg/{name}/{process}/{number}" for number in range(number_of_parts)]
        joined = b"".join(_client().blocking_key_value_get_bytes(key, 60_000) for key in keys)
        results.append(from_bytes(joined, kind))
    # Whoever is in this round has read the one before.
    if not channel and name != "round0":
        _client().key_value_delete(f"vfseg/round{int(name[5:]) - 1}/{index()}/")
    return results


def wait() -> None:
    """Waits until every process is here."""
    gather(None, None)


def from_first(function: Callable[[], Result], kind: Any) -> Result:
    """Calls a function on the first process alone; every process gets its result, of a `kind`."""
    result = function() if is_first() else None
    return gather(result, Union[kind, None])[0]  # type: ignore[return-value]  # noqa: UP007


def tell(key: str, text: str) -> None:
    """Says something to all processes, once."""
    _client().key_value_set(f"vfseg/{key}", text, allow_overwrite=True)


def heard(key: str, seconds: float) -> str | None:
    """What was told, waiting for so long; None where nothing was."""
    try:
        return _client().blocking_key_value_get(f"vfseg/{key}", max(1, round(1000 * seconds)))
    except jax.errors.JaxRuntimeError as error:
        if "DEADLINE_EXCEEDED" not in str(error):
            raise
        return None


def abandon(message: str, status: int) -> NoReturn:
    """Ends this process, and with it all others, which would wait for it for ever."""
    print(f"vfseg: {message}", file=sys.stderr)
    try:
        tell("failure", f"{status} process {index()} ended: {message}")
    finally:
        leave(status)


def leave(status: int) -> NoReturn:
    """Ends this process without a word to JAX; all processes do, the first one last.

    The first one hosts the coordination service: where that is missed, JAX aborts the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        if not is_first():
            tell(f"left/{index()}", "")
        else:
            until = time.monotonic() + 5
            for other in range(1, count()):
                heard(f"left/{other}", until - time.monotonic())
            time.sleep(0.2)
    finally:
        locks.release_all()
        os._exit(status)


def _end_with_the_others() -> None:
    """Waits for the failure of any process, and ends this one, whatever it is doing."""
    failure = None
    while failure is None:
        try:
            failure = heard("failure", 3600)
        except jax.errors.JaxRuntimeError:  # the run is over
            return
    status, message = failure.split(" ", 1)
    if not message.startswith(f"process {index()} "):
        print(f"vfseg: {message}", file=sys.stderr, flush=True)
        leave(int(status))


def _wait_for(key: str) -> str:
    while True:  # in short waits, between which Python sees signals
        text = heard(key, 1)
        if text is not None:
            return text


def _client() -> Any:
    return distributed.global_state.client


def use_cores() -> None:
    """Makes every CPU core that this process may use a device of its own; before JAX computes.

    XLA runs most convolutions on one core of a CPU, so a step that is split over several devices
    there is faster than one that is not. `JAX_NUM_CPU_DEVICES` sets another number.
    """
    said = "JAX_NUM_CPU_DEVICES" in os.environ
    if not said and "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", cores())


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
