"""Arrays in a `.npz` file: what its headers promise is known before any memory is taken."""

import math
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vfseg.data.limits import check_size
from vfseg.errors import UserError

_ENDING = ".npy"


class Promise(NamedTuple):
    """What a header says of an array.

    Attributes:
        shape: of the array.
        dtype: of its values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


class DamagedNpz(Exception):
    """A file is no `.npz`, or is damaged; says in what way."""


def npz_promises(path: Path) -> dict[str, Promise]:
    """Name -> shape and dtype of every array, from headers alone.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedNpz: it is none, or a header is not that of what follows it.
        UserError: the arrays would be larger than the limit, see `check_size`.
    """
    promises, total = {}, 0
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(_ENDING):
                    raise DamagedNpz(f"{member.filename!r} is no array")
                with archive.open(member) as file:
                    version = np.lib.format.read_magic(file)
                    if version != (1, 0):  # a later one is for headers that no array here has
                        raise DamagedNpz(f"{member.filename!r} has a header of version {version}")
                    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                    size = dtype.itemsize * math.prod(shape)
                    if dtype.hasobject or not dtype.itemsize or min(shape, default=0) < 0:
                        raise DamagedNpz(f"{member.filename!r} holds no numbers")
                    if file.tell() + size != member.file_size:
                        raise DamagedNpz(f"{member.filename!r} promises another size than it has")
                name = member.filename.removesuffix(_ENDING)
                if name in promises:
                    raise DamagedNpz(f"{member.filename!r} is there twice")
                # An axis of 0 makes others of any length cost nothing, until something is added up.
                total += dtype.itemsize * math.prod(max(1, length) for length in shape)
                promises[name] = Promise(shape, dtype)
    except (FileNotFoundError, DamagedNpz):
        raise
    except Exception as error:  # of a damaged archive it may be anything
        raise DamagedNpz(f"{type(error).__name__}: {error}") from error
    check_size(path, total)
    return promises


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, by name. Errors as `npz_promises`; checksums are compared as well."""
    names = npz_promises(path)
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            found = {name: file[name] for name in names}
        for array in found.values():
            if array.dtype.kind == "U":
                "".join(array.ravel().tolist()).encode()  # raises where it is no text
        return found
    except UserError:
        raise
    except Exception as error:
        raise DamagedNpz(f"{type(error).__name__}: {error}") from error
