"""Everything the report draws of one case."""

from pathlib import Path

from vfseg.drawing.figures import Picture
from vfseg.report.case_page import PAGE, About, write_case_page
from vfseg.report.figures import overlay_figures
from vfseg.report.mesh import write_meshes
from vfseg.report.scene import Scene
from vfseg.report.solids import build_solids
from vfseg.report.spine_picture import draw_spine


def draw_case(scene: Scene, about: About, directory: Path) -> list[Picture]:
    """Writes the 3D picture, the meshes (`spine.glb`), the heat maps and the page of a case.

    Args:
        scene: of the case.
        about: what its page says.
        directory: of the files; made if missing.

    Returns:
        The pictures in the order in which the page should show them; none where the map is 0
        everywhere and no vertebra is known.
    """
    pictures = []
    solids = build_solids(scene)
    if solids is not None:
        pictures.append(draw_spine(scene, solids, directory / "spine.png"))
        write_meshes(solids, directory / "spine.glb")
    pictures += overlay_figures(scene, directory)
    write_case_page(scene, about, solids, pictures, directory / PAGE)
    return pictures
