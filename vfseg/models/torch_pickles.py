"""What a file of PyTorch promises, looked at before it is read: no more than it holds.

A pickle is a program. `torch.load(weights_only=True)` runs none of its calls but a few, and of
these some still fill the memory from a file of a hundred bytes: a `bytearray` of any size, a text
that doubles as it is encoded again and again, a memo of any length. So only the names that tensors
and their containers need are let through here, and no size that the file cannot hold.
"""

import io
import mmap
import pickle
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

_NAMES = re.compile(
    r"collections (OrderedDict|defaultdict|Counter)|__builtin__ set|builtins set"
    r"|torch (?!Untyped)\w+Storage|torch (Size|device|b?float\d*|double|half|u?int\d+|long|bool)"
    r"|torch._utils _rebuild_(tensor|tensor_v2|parameter|parameter_with_state|sparse_tensor)"
    r"|torch.nn.parameter Parameter|torch.serialization _get_layout"
)
_OTHER_CALLS = ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4")
"""PyTorch writes none of them."""
_STREAM = 5
"""Pickles of a file from before PyTorch 1.6: its mark, version and system, the content, the keys of
the storages."""


def check_promises(path: Path) -> None:
    """Looks through the pickles of a file, and the sizes of its parts.

    Raises:
        pickle.UnpicklingError: it asks for more than tensors, or for more than it holds.
        OSError, ValueError, EOFError, zipfile.BadZipFile: it is damaged.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
                for _ in range(_STREAM):
                    _check_pickle(stream, len(stream))
            return
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            names = {part.filename for part in parts}
            file.seek(0, io.SEEK_END)
            # PyTorch compresses nothing, so that no part is longer than its place in the file.
            if sum(part.file_size for part in parts) > file.tell() or len(names) < len(parts):
                raise pickle.UnpicklingError("its parts are longer than the file")
            if changed := archive.testzip():  # PyTorch does not compare the sums
                raise zipfile.BadZipFile(f"{changed} is not as it was written")
            for name in names:
                if name.endswith("data.pkl"):
                    content = archive.read(name)
                    _check_pickle(io.BytesIO(content), len(content))


def _check_pickle(stream: BinaryIO | mmap.mmap, size: int) -> None:
    """Looks through the next pickle of a stream that has so many bytes."""
    readable: Any = stream
    for operation, argument, _ in pickletools.genops(readable):
        if operation.name == "GLOBAL" and not _NAMES.fullmatch(str(argument)):
            raise pickle.UnpicklingError(f"it asks for {argument}")
        if operation.name in _OTHER_CALLS:
            raise pickle.UnpicklingError(f"it asks for a name in another way ({operation.name})")
        if operation.name in ("PUT", "LONG_BINPUT") and argument is not None and argument > size:
            raise pickle.UnpicklingError(f"it numbers an object {argument}")
