"""The largest volume that is read: what a file promises is compared before memory is taken."""

import os
from pathlib import Path

from vfseg.errors import UserError

LARGEST_VOLUME_BYTES = 8 * 2**30
"""8 GiB: a whole body at 0.3 mm, as int16, is smaller."""

_VARIABLE = "VFSEG_LARGEST_VOLUME_GB"


def check_size(path: str | os.PathLike, promised_bytes: int) -> None:
    """Refuses a volume that is too large by what its header says.

    The limit is `LARGEST_VOLUME_BYTES`, or what the environment variable VFSEG_LARGEST_VOLUME_GB
    says (in GiB).

    Args:
        path: of the file or folder, for the message.
        promised_bytes: that the volume would take.

    Raises:
        UserError: it is larger; the variable is no number above 0.
    """
    text = os.environ.get(_VARIABLE, "")
    try:
        limit = float(text) * 2**30 if text else LARGEST_VOLUME_BYTES
    except ValueError:
        limit = 0
    if not limit > 0:
        raise UserError(f"{_VARIABLE}={text}: expected GiB, a number above 0, such as 16.")
    if promised_bytes > limit:
        raise UserError(
            f"{Path(path)}: promises {promised_bytes / 2**30:.3g} GiB, more than the "
            f"{limit / 2**30:g} GiB that are read at most (a damaged header?). Copy, download or "
            f"export the file again; where the volume is as large as that, set {_VARIABLE}."
        )
