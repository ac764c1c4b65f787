"""State dicts saved by PyTorch, read without PyTorch and without running what is pickled in them.

A `.pth` file is a pickle that rebuilds tensors from named storages, beside their raw bytes: a zip
archive since PyTorch 1.6, one stream of pickles and bytes before. A pickle may name any function
of any module to be called. The unpickler here knows the few names that a state dict needs, none of
which is looked up anywhere, and refuses every other.
"""

import collections
import dataclasses
import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from vfseg.errors import UserError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_START = b"\x80\x02\x8a\x0a" + _LEGACY_MAGIC.to_bytes(10, "little")
_ZIP_START = b"PK\x03\x04"

_DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype("<i8"),
}


def is_torch_file(data: bytes) -> bool:
    """Whether a file begins as one that PyTorch saved."""
    return data.startswith((_ZIP_START, _LEGACY_START))


def read_torch_file(path: Path, data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name.

    Args:
        path: of the file, for messages.
        data: its content.

    Returns:
        Read-only views on the bytes of the file, laid out by the strides that the file names: take
        a copy only of an array whose shape is as expected.

    Raises:
        UserError: the file is damaged, holds anything but a dict of tensors, or asks for a function
            that a state dict does not need.
    """
    read = _read_zip if data.startswith(_ZIP_START) else _read_legacy
    content, storage_bytes = read(path, data)
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a state dict. {_REMEDY}")
    tensors = {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise UserError(f"{path}: the entry {name!r} is not a tensor. {_REMEDY}")
        try:
            tensors[name] = tensor.view(storage_bytes(tensor.storage))
        except _DAMAGES as error:
            raise UserError(f"{path}: the tensor {name} is damaged ({error}).") from error
    return tensors


_REMEDY = "Save model.state_dict() with torch.save, and nothing else."
# What zipfile and NumPy raise on bytes that are not what the file says.
_DAMAGES = (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, NotImplementedError)


@dataclasses.dataclass(frozen=True)
class _Storage:
    """Elements in the file, as the pickle names them."""

    dtype: np.dtype
    key: str
    count: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A strided view on a storage; offset and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __setstate__(self, state: Any) -> None:
        """Whether it needs a gradient, which files before PyTorch 0.4 say here."""

    def view(self, data: bytes) -> np.ndarray:
        """The tensor in the bytes of its storage.

        Raises:
            ValueError: it reaches beyond them.
        """
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides))
        if 0 not in self.shape and last >= self.storage.count:
            raise ValueError(f"element {last} of a storage of {self.storage.count}")
        flat = np.frombuffer(data, self.storage.dtype, self.storage.count)
        strides = [step * flat.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.shape, strides, writeable=False
        )


class _Unpickler(pickle.Unpickler):
    """Rebuilds containers and descriptions of tensors; knows no other callable.

    The callables are bound methods and the storage types plain strings, so that the opcodes that
    set attributes find nothing to change.
    """

    def __init__(self, path: Path, file: io.BytesIO):
        super().__init__(file, encoding="utf-8")
        self._path = path
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): self._parameter,
            ("torch.nn.parameter", "Parameter"): self._parameter,
        }
        if module == "torch" and name in _DTYPES:
            return name
        if (module, name) not in known:
            raise UserError(
                f"{self._path}: refused, nothing in it was run: its pickle asks for "
                f"{module}.{name}, which a state dict does not need. {_REMEDY}"
            )
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage that `("storage", type, key, device, count[, view])` names."""
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or any(part is not None for part in view):
            raise pickle.UnpicklingError(f"unknown reference {pid!r}")
        if not isinstance(key, str) or not _are_counts(count):
            raise pickle.UnpicklingError(f"malformed reference {pid!r}")
        storage = _Storage(_DTYPES[dtype], key, count)
        if self.storages.setdefault(key, storage) != storage:
            raise pickle.UnpicklingError(f"two storages have the key {key!r}")
        return storage

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
        # What may follow: requires_grad, hooks and metadata.
        if not (
            isinstance(storage, _Storage)
            and isinstance(shape, tuple)
            and isinstance(strides, tuple)
            and len(shape) == len(strides)
            and _are_counts(offset, *shape, *strides)
        ):
            raise pickle.UnpicklingError("a malformed tensor")
        return _Tensor(storage, offset, shape, strides)

    def _parameter(self, tensor: Any, *_: Any) -> Any:
        # What may follow: requires_grad and hooks.
        return tensor


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


_StorageBytes = Callable[[_Storage], bytes]


def _read_zip(path: Path, data: bytes) -> tuple[Any, _StorageBytes]:
    """The unpickled content of a zip file, and how to get at the bytes of a storage."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGES as error:
        raise UserError(f"{path}: the zip archive is damaged or cut short ({error}).") from error
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise UserError(f"{path}: a zip archive, but not one that torch.save wrote. {_REMEDY}")
    folder = pickles[0].removesuffix("data.pkl")

    def member(name: str, size: int | None = None) -> bytes:
        info = archive.getinfo(folder + name)
        # PyTorch never compresses; so nothing here can grow beyond the size of the file.
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data):
            raise ValueError(f"{folder + name} is compressed")
        if size is not None and info.file_size != size:
            raise ValueError(f"{info.file_size} bytes instead of {size}")
        return archive.read(info)

    try:
        order = member("byteorder") if folder + "byteorder" in archive.namelist() else b"little"
        content = member("data.pkl")
    except _DAMAGES as error:
        raise UserError(f"{path}: the zip archive is damaged ({error}).") from error
    _check_byte_order(path, order == b"little")
    unpickled, _ = _unpickle(path, io.BytesIO(content))
    return unpickled, lambda storage: member(
        f"data/{storage.key}", storage.count * storage.dtype.itemsize
    )


def _read_legacy(path: Path, data: bytes) -> tuple[Any, _StorageBytes]:
    """As `_read_zip`, for a stream: three pickles of header, content, keys, then the storages."""
    file = io.BytesIO(data)
    _unpickle(path, file)  # the magic number
    _unpickle(path, file)  # the version of the format
    system, _ = _unpickle(path, file)
    _check_byte_order(path, isinstance(system, Mapping) and system.get("little_endian") is True)
    content, storages = _unpickle(path, file)
    keys, _ = _unpickle(path, file)
    if not isinstance(keys, list) or not all(key in storages for key in keys):
        raise UserError(f"{path}: is damaged: its list of storages does not fit its content.")
    found: dict[str, bytes] = {}
    at = file.tell()
    for key in keys:
        size = storages[key].count * storages[key].dtype.itemsize
        if int.from_bytes(data[at : at + 8], "little") != storages[key].count:
            break  # what follows cannot be found; `storage_bytes` names the tensor
        found[key] = data[at + 8 : at + 8 + size]
        at += 8 + size

    def storage_bytes(storage: _Storage) -> bytes:
        if len(found.get(storage.key, b"")) != storage.count * storage.dtype.itemsize:
            raise EOFError("its values are cut short")
        return found[storage.key]

    return content, storage_bytes


def _check_byte_order(path: Path, little: bool) -> None:
    if not little:
        raise UserError(f"{path}: was saved on a big-endian machine, which is not supported.")


def _unpickle(path: Path, file: io.BytesIO) -> tuple[Any, dict[str, _Storage]]:
    """The next pickle of a file, and the storages it names."""
    unpickler = _Unpickler(path, file)
    try:
        return unpickler.load(), unpickler.storages
    except UserError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(
            f"{path}: is damaged or cut short: its pickle cannot be read "
            f"({type(error).__name__}: {error})."
        ) from error
