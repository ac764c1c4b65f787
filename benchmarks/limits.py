"""The device's limits: operations per second in a large product, bytes per second in a large copy.

`python -m benchmarks.limits [--device cpu|gpu] [--quick] [--json FILE]`

The fastest of XLA, NumPy (on a CPU) and PyTorch (if it is installed) sets the limit. The matrices
are square, in float32 and, if the device multiplies that, in bfloat16. Copied bytes are counted
twice: they are read and written.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import command, timing
from benchmarks.counting import Limits
from benchmarks.environment import installed

SIZES = {"cpu": 2048, "gpu": 8192}
COPIED = {"cpu": 2**28, "gpu": 2**30}  # bytes
QUICK_SIZE, QUICK_COPIED = 512, 2**24


def measure(*, quick: bool) -> tuple[list[timing.Table], dict[str, Limits]]:
    """Tables of the products and of the copy, and the limits by dtype of the product."""
    backend = jax.default_backend()
    dtypes = ("float32", "bfloat16") if _multiplies_bfloat16() else ("float32",)
    n = QUICK_SIZE if quick else SIZES.get(backend, SIZES["gpu"])
    copied = QUICK_COPIED if quick else COPIED.get(backend, COPIED["gpu"])
    rounds = 3 if quick else 15
    products = [
        _table(f"Product of two {n}x{n} {dtype}", _products(n, dtype), 2 * n**3, "FLOP", rounds)
        for dtype in dtypes
    ]
    copy = _table(f"Copy of {copied / 1e6:.0f} MB", _copies(copied), 2 * copied, "B", rounds)
    best = [max(row.rate for row in table.rows) * 1e9 for table in (*products, copy)]
    limits = {dtype: Limits(rate, best[-1]) for dtype, rate in zip(dtypes, best)}
    return [*products, copy], limits


def _multiplies_bfloat16() -> bool:
    """Whether the device has instructions for it; of a CPU, PyTorch knows."""
    if jax.default_backend() != "cpu":
        return True
    if not installed("torch"):
        return False
    from benchmarks.torch_modes import available

    return any(mode.bfloat16 for mode in available(quick=True)[0])


def _table(
    title: str, competitors: Mapping[str, Callable[[], Any]], work: float, unit: str, rounds: int
) -> timing.Table:
    task = timing.Task(title, work / 1e9, f"G{unit}/s")
    return timing.race(task, competitors, baseline="XLA", rounds=rounds)


def _products(n: int, dtype: str) -> dict[str, Callable[[], Any]]:
    one = np.random.default_rng(0).standard_normal((n, n)).astype(np.float32)
    a = jnp.asarray(one, dtype)
    product = jax.jit(jnp.matmul)
    found: dict[str, Callable[[], Any]] = {"XLA": lambda: product(a, a)}
    if jax.default_backend() == "cpu" and dtype == "float32":
        found["NumPy"] = lambda: one @ one
    if installed("torch"):
        from benchmarks.torch_modes import device, synchronised, torch

        b = torch.from_numpy(one).to(device(), getattr(torch, dtype))
        found["PyTorch"] = synchronised(lambda: b @ b)
    return found


def _copies(size: int) -> dict[str, Callable[[], Any]]:
    source = np.ones(size // 4, np.float32)
    x = jnp.asarray(source)
    copy = jax.jit(jnp.copy)
    found: dict[str, Callable[[], Any]] = {"XLA": lambda: copy(x)}
    if jax.default_backend() == "cpu":
        target = np.zeros_like(source)
        found["NumPy"] = lambda: np.copyto(target, source)
    if installed("torch"):
        from benchmarks.torch_modes import device, synchronised, torch

        a = torch.from_numpy(source).to(device())
        b = torch.empty_like(a)
        found["PyTorch"] = synchronised(lambda: b.copy_(a))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    args = command.arguments(__doc__ or "", argv)
    command.publish(measure(quick=args.quick)[0], args.json)


if __name__ == "__main__":
    main()
