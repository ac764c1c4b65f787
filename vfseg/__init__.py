"""vfseg: 3D maps of vertebral fracture probability from CT, in JAX/Flax.

    import vfseg

    found = vfseg.predict("ct.nii.gz", "labels.nii.gz")
    print(found)
    found.save("out")

Research use only. Not a medical device.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vfseg.api.evaluate import evaluate
    from vfseg.api.fuse import fuse
    from vfseg.api.predict import CasePrediction, Options, load_model, predict
    from vfseg.errors import UserError

RESEARCH_USE = "Research use only. Not a medical device, not for diagnosis."
"""Said in every output."""

__all__ = [
    "RESEARCH_USE",
    "CasePrediction",
    "Options",
    "UserError",
    "evaluate",
    "fuse",
    "load_model",
    "predict",
]

_HOMES = {
    "evaluate": "vfseg.api.evaluate",
    "fuse": "vfseg.api.fuse",
    "CasePrediction": "vfseg.api.predict",
    "Options": "vfseg.api.predict",
    "load_model": "vfseg.api.predict",
    "predict": "vfseg.api.predict",
    "UserError": "vfseg.errors",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is: to import `vfseg` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vfseg' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
