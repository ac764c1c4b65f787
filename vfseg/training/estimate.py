"""What training will take, said before its first step, when the programs of all stages stand.

XLA says of a compiled step how many bytes it holds at a time: its arguments (parameters, optimisers
and a batch), its results, and the activations in between. On an accelerator that is all there is. A
CPU's memory holds Python, JAX and the compiled programs, too, which for networks of this size are
the larger part: they are there by then, and are measured.
"""

import resource
import sys
from collections.abc import Iterable
from typing import Any

import jax

_BYTES_A_FEATURE = 100
"""Held at a time of a step for each pixel and channel of the finest scale, with all that the
coarser ones, the ConvLSTM, the discriminator and the gradients add: XLA said 86 to 99 of steps at
16, 48 and 96 pixels and 4 and 16 channels, in float32. In bfloat16 it is less."""


def memory_words(programs: Iterable[jax.stages.Compiled]) -> str:
    """What the programs of a run take at most, for the log.

    Args:
        programs: a step of each stage, compiled.
    """
    each = max(_bytes_of(program) for program in programs)
    if not each:
        return "memory of which this kind of device tells nothing"
    here = jax.local_devices()
    if here[0].platform != "cpu":
        return f"at most about {each / 1e9:.2g} GB of memory on each device"
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken *= 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return f"at most about {(taken + each * len(here)) / 1e9:.2g} GB of memory"


def step_bytes(runs: float, *, slices: int, pixels: int, features: int) -> float:
    """Bytes that a step holds on a device, before there is a program to ask; see `memory_words`.

    Args:
        runs: of the device's part of a batch.
        slices: of a run.
        pixels: of a slice.
        features: channels of the finest scale.
    """
    return _BYTES_A_FEATURE * runs * slices * pixels * features


def _bytes_of(program: jax.stages.Compiled) -> int:
    """Bytes on a device that a program holds at a time; 0 where that is not known."""
    found: Any = program.memory_analysis()
    if found is None:
        return 0
    held = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return held + found.temp_size_in_bytes + found.generated_code_size_in_bytes
