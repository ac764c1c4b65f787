"""The page that picks vertebral bodies: a CT to click through, and a file of points to download."""

import base64
import json
from pathlib import Path

import numpy as np
from markupsafe import Markup

from vfseg.data.box import whole
from vfseg.data.volume import Volume
from vfseg.drawing.figures import BONE_WINDOW
from vfseg.drawing.page import write_html
from vfseg.errors import UserError
from vfseg.evaluation.phrases import LANGUAGES
from vfseg.report.niivue import niivue_module, within_script
from vfseg.report.texts import said, texts
from vfseg.report.view_grid import HU_STEP, LOWEST_HU, ct_codes, grid_of, packed

POINTS_SUFFIX = "_points.csv"
"""Behind the name of the case, the file that the page gives."""

_NAMES = tuple(f"T{n}" for n in range(1, 13)) + tuple(f"L{n}" for n in range(1, 6))
_SAID_BY_SCRIPT = (
    *("pick_choose", "pick_name", "pick_remove"),
    *("pick_none", "pick_name_one", "pick_beyond"),
)
_MARK_MM = 3.0  # radius of the mark of a body


def write_picker(name: str, ct: Volume, path: Path) -> None:
    """Writes the page of a CT; it opens from disk and asks no network.

    Args:
        name: of the case.
        ct: HU; the page holds all of it, coarsened where it is large, in steps of 10 HU.
        path: of the page.

    Raises:
        UserError: the viewer is not installed, or the page cannot be written.
    """
    module = niivue_module()
    if module is None:
        raise UserError(
            "the viewer NiiVue is not installed: pip install 'vfseg[report]'. "
            "Or write the points by hand: a CSV of level,x,y,z in RAS mm."
        )
    grid = grid_of(ct, whole(ct.shape))
    volumes = {
        "ct": packed(ct_codes(ct, grid), grid, HU_STEP, LOWEST_HU),
        "marks": packed(np.zeros(grid.shape, np.uint8), grid, labels=True),
    }
    content = {
        "volumes": {key: base64.b64encode(file).decode() for key, file in volumes.items()},
        "shape": grid.shape,
        "from_mm": np.linalg.inv(grid.affine).tolist(),
        "spacing": np.linalg.norm(grid.affine[:3, :3], axis=0).tolist(),
        "mark_mm": _MARK_MM,
        "window": BONE_WINDOW,
        "names": _NAMES,
        "words": {key: dict(zip(LANGUAGES, texts()[key])) for key in _SAID_BY_SCRIPT},
        "file": f"{name}{POINTS_SUFFIX}",
    }
    write_html(
        path,
        "vfseg.report",
        "pick.html.j2",
        kind="case",
        title=name,
        name=name,
        file=f"{name}{POINTS_SUFFIX}",
        said=said,
        niivue=Markup(module),
        content=Markup(within_script(json.dumps(content, separators=(",", ":")))),
    )
