"""The modes in which PyTorch can run the twin: eager, `channels_last`, compiled, bfloat16."""

import contextlib
import functools
import itertools
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import torch

# Every form and mode compiles the same Python code anew: PyTorch would stop at 8 programs.
torch._dynamo.config.recompile_limit = 64


class Mode(NamedTuple):
    """A way to run a network.

    Attributes:
        channels_last: memory format of activations and kernels.
        compiled: by `torch.compile`.
        bfloat16: autocast; parameters stay float32.
    """

    channels_last: bool = False
    compiled: bool = False
    bfloat16: bool = False

    def __str__(self) -> str:
        words = ("channels_last", "compiled", "bfloat16")
        return ", ".join(word for word, on in zip(words, self) if on) or "eager"

    @property
    def format(self) -> torch.memory_format:
        """Memory format of activations and kernels."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> torch.autocast:
        """Context of a forward pass."""
        return torch.autocast(device().type, torch.bfloat16, enabled=self.bfloat16)


def device() -> torch.device:
    """The device on which JAX computes, as PyTorch calls it.

    Raises:
        SystemExit: this PyTorch cannot use it.
    """
    if jax.default_backend() == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SystemExit(
            f"JAX runs on {jax.default_backend()}, but this PyTorch ({torch.__version__}) has no "
            "CUDA: install one that has, or compare with --device cpu"
        )
    return torch.device("cuda")


def available(*, quick: bool) -> tuple[list[Mode], dict[str, str]]:
    """All modes that run here, and why the others do not; quick runs compile nothing.

    On a CPU, `torch.compile` lays activations out `channels_last` whatever they were, so there the
    two are not combined.
    """
    compiled = "takes minutes, left out of quick runs" if quick else why_not_compiled()
    why = {"compiled": compiled, "bfloat16": why_not_bfloat16()}
    modes = [Mode(*flags) for flags in itertools.product((False, True), repeat=3)]
    missing = {name: reason for name, reason in why.items() if reason}
    if device().type == "cpu":
        modes = [m for m in modes if not (m.channels_last and m.compiled)]
    return [m for m in modes if not any(getattr(m, name) for name in missing)], missing


@functools.cache
def why_not_compiled() -> str:
    """The reason why PyTorch cannot compile here, found by compiling a sum; "" where it can."""
    if device().type == "cpu" and not any(map(shutil.which, ("g++", "clang++"))):
        return "no C++ compiler here"
    try:
        torch.compile(lambda x: x + x)(torch.ones(2, device=device()))
    except Exception as error:  # whatever is missing, it is the reason
        return str(error).strip().splitlines()[0]
    return ""


def why_not_bfloat16() -> str:
    """The reason for leaving bfloat16 out; "" where the processor has instructions for it."""
    if device().type == "cuda":
        return "" if torch.cuda.is_bf16_supported(including_emulation=False) else "GPU without it"
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    tests = [getattr(torch.cpu, name) for name in names if hasattr(torch.cpu, name)]
    return "" if any(test() for test in tests) else "CPU without bfloat16 instructions"


def synchronised(run: Callable[[], Any]) -> Callable[[], Any]:
    """`run`, which then waits for its results."""

    def until_done() -> Any:
        results = run()
        if device().type == "cuda":
            torch.cuda.synchronize()
        return results

    return until_done


@contextlib.contextmanager
def exactly() -> Iterator[None]:
    """Multiplies in full float32 on accelerators, where both frameworks would round for speed."""
    if device().type == "cpu":
        yield
        return
    with jax.default_matmul_precision("highest"):
        _round_products(False)
        yield
    _round_products(True)


def _round_products(allowed: bool) -> None:
    """Whether PyTorch may round products to TF32."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed
