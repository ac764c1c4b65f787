"""What a program has to do, counted and not timed: operations and bytes.

For a compiled JAX program XLA counts (`cost_analysis`). For PyTorch `torch.utils.flop_counter`
counts operations, and a dispatch mode defined here counts the bytes that every operator except a
view reads and writes. In both, bytes are counted as if nothing stayed in a cache between two
operators. The two do not count alike: XLA leaves out what a convolution would do with padding and
adds elementwise work; PyTorch counts matrix products and convolutions only, padding included, and
before `torch.compile` has fused anything.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Work(NamedTuple):
    """What one run of a program costs.

    Attributes:
        operations: floating point operations.
        bytes: read and written by its operators.
    """

    operations: float
    bytes: float

    def times(self, runs: int) -> "Work":
        """What so many runs cost, or one run on so many devices."""
        return Work(self.operations * runs, self.bytes * runs)


class Limits(NamedTuple):
    """What a device can do at best, as measured.

    Attributes:
        operations: per second, in a large matrix product.
        bytes: per second, read and written, in a large copy.
    """

    operations: float
    bytes: float


def of_compiled(compiled: jax.stages.Compiled) -> Work:
    """Operations and bytes of a compiled JAX program, on one of its devices."""
    cost = compiled.cost_analysis()
    assert cost is not None, "XLA counts nothing on this backend"
    return Work(float(cost["flops"]), float(cost["bytes accessed"]))


def of_torch(run: Callable[[], Any]) -> Work:
    """Operations and bytes of what a function does with PyTorch, run once, uncompiled."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import FlopCounterMode

    total = 0

    class ByteCounter(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal total
            with self:  # without gradients, compound operators arrive whole
                out = func.decompose(*args, **(kwargs or {}))
            if out is not NotImplemented:
                return out
            out = func(*args, **(kwargs or {}))
            if not func.is_view:
                tensors = [x for x in tree_leaves((args, kwargs, out)) if torch.is_tensor(x)]
                # An operator that works in place names a tensor twice: it is read and written.
                total += sum(x.numel() * x.element_size() for x in tensors)
            return out

    with FlopCounterMode(display=False) as operations, ByteCounter():
        run()
    return Work(float(operations.get_total_flops()), float(total))


def share_of_limit(work: Work, seconds: float, limits: Limits) -> tuple[float, str]:
    """The part of the nearer limit that a run of so many seconds reaches, and which limit that is.

    >>> share_of_limit(Work(operations=50.0, bytes=5.0), 1.0, Limits(operations=100.0, bytes=100.0))
    (0.5, 'matrix product')
    """
    least_seconds = {
        "matrix product": work.operations / limits.operations,
        "copy": work.bytes / limits.bytes,
    }
    nearer = max(least_seconds, key=lambda name: least_seconds[name])
    return least_seconds[nearer] / seconds, nearer
