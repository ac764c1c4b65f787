"""Everything the report draws of one case."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vfseg.data.levels import Vertebra
from vfseg.data.volume import Volume
from vfseg.drawing.figures import Picture
from vfseg.inference.boxed_map import BoxedMap
from vfseg.report.figures import overlay_figures
from vfseg.report.mesh import render_case, write_meshes
from vfseg.report.solids import build_solids


def draw_case(
    ct: Volume,
    probability: np.ndarray | BoxedMap,
    *,
    truth: np.ndarray | None,
    labels: np.ndarray | None,
    vertebrae: Sequence[Vertebra],
    threshold: float,
    case_id: str,
    synthetic: bool,
    directory: Path,
) -> list[Picture]:
    """Writes the 3D picture, the meshes (`spine.glb`) and the heat maps of a case.

    All arrays are `d h w` on the grid of the CT.

    Args:
        ct: int16 HU.
        probability: float in [0, 1].
        truth: instance ids of reference lesions, or None.
        labels: vertebra labels, or None where only boxes are known.
        vertebrae: of the case; may be empty.
        threshold: probability from which on a voxel is predicted.
        case_id: for the titles.
        synthetic: whether the truth is synthetic.
        directory: `report/CASE` of the workdir.

    Returns:
        The pictures in the order in which the page should show them; none where the map is 0
        everywhere and no vertebra is known.
    """
    pictures = []
    solids = build_solids(ct, probability, labels, vertebrae, threshold)
    if solids is not None:
        pictures.append(render_case(solids, case_id=case_id, path=directory / "spine.png"))
        write_meshes(solids, directory / "spine.glb")
    return pictures + overlay_figures(
        ct,
        probability,
        truth=truth,
        vertebrae=vertebrae,
        threshold=threshold,
        case_id=case_id,
        synthetic=synthetic,
        directory=directory,
    )
