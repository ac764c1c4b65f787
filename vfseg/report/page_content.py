"""What the scripts in the page of a CT read: small things first, then the volumes."""

import base64
import json
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.colors import Colormap

from vfseg.drawing.figures import REFERENCE
from vfseg.report.curved import curved_picture
from vfseg.report.figures import PROBABILITY_COLOURS
from vfseg.report.mesh import packed_surfaces
from vfseg.report.niivue import within_script
from vfseg.report.scene import Scene
from vfseg.report.solids import Solids
from vfseg.report.view_grid import HU_STEP, LOWEST_HU, ViewVolumes, compressed, packed
from vfseg.report.volume_at import volume_at

UNCERTAINTY_COLOURS = matplotlib.colormaps["viridis"]


def controls_content(
    scene: Scene, volumes: ViewVolumes, *, start: np.ndarray, window: tuple[float, float]
) -> Markup:
    """What the controls and the picture along the spine need, as JSON.

    Args:
        scene: of the case.
        volumes: of the same case.
        start: where the viewer begins, RAS+ mm.
        window: that it begins with, HU.
    """
    grid, geometry = volumes.grid, scene.ct.geometry
    curved = curved_picture(volumes, scene.spine.vertebrae)
    thresholds, ml = volume_at(
        scene.probability, scene.threshold, float(np.prod(scene.ct.voxel_spacing)) / 1000
    )
    return _json({
        "curved": {
            "columns": [round(float(at), 3) for at in curved.columns],
            "layers": {name: as_text(compressed(a.tobytes())) for name, a in curved.layers.items()},
        },
        "grid": {"shape": grid.shape, "affine": grid.affine.tolist()},
        "to_grid": np.linalg.inv(grid.affine).tolist(),
        "from_mm": np.linalg.inv(geometry.stored_affine).tolist(),
        "hu": {"step": HU_STEP, "lowest": LOWEST_HU},
        "colours": _colours(PROBABILITY_COLOURS),
        "uncertainty_colours": _colours(UNCERTAINTY_COLOURS),
        "truth_colour": [int(REFERENCE[at : at + 2], 16) for at in (1, 3, 5)],
        "threshold": scene.threshold,
        "thresholds": thresholds,
        "ml": [float(f"{volume:.6g}") for volume in ml],
        "window": window,
        "start": start.round(2).tolist(),
    })  # fmt: skip


def viewer_content(volumes: ViewVolumes, solids: Solids | None) -> Markup:
    """What the planes and the view in 3D show, as JSON.

    Args:
        volumes: of the case.
        solids: of the case; None where there is nothing to show.
    """
    over = {
        "probability": volumes.probability,
        "uncertainty": volumes.uncertainty,
        "truth": volumes.truth,
    }
    files = {"ct": packed(volumes.ct, volumes.grid, HU_STEP, LOWEST_HU)} | {
        name: compressed(array.tobytes()) for name, array in over.items() if array is not None
    }
    surfaces = {} if solids is None else packed_surfaces(solids)
    return _json({
        "volumes": {name: as_text(file) for name, file in files.items()},
        "surfaces": {name: as_text(compressed(file)) for name, file in surfaces.items()},
    })  # fmt: skip


def _json(content: dict[str, Any]) -> Markup:
    return Markup(within_script(json.dumps(content, separators=(",", ":"))))


def _colours(of: Colormap) -> list[list[int]]:
    """Red, green, blue and opacity of 256 values, 0 to 255."""
    return (of(np.arange(256)) * 255).round().astype(int).tolist()


def as_text(content: bytes) -> str:
    """Bytes as a text that JSON and HTML can hold (base64)."""
    return base64.b64encode(content).decode()
