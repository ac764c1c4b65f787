"""Everything the report draws of one case."""

from pathlib import Path

from vfseg.drawing.figures import Picture
from vfseg.report.case_page import PAGE, About, write_case_page
from vfseg.report.figures import MIDLINE, overlay_figures
from vfseg.report.mesh import STL_FILES, write_meshes, write_stl_files
from vfseg.report.scene import Scene
from vfseg.report.solids import build_solids
from vfseg.report.spine_picture import draw_spine

_SPINE, _MESHES = "spine.png", "spine.glb"


def draw_case(scene: Scene, about: About, directory: Path) -> list[Picture]:
    """Writes the 3D picture, the meshes, the heat maps and the page of a case.

    What an earlier drawing left in the folder is removed first: this one may have fewer files.

    Args:
        scene: of the case.
        about: what its page says.
        directory: of the files; made if missing.

    Returns:
        The pictures in the order in which the page should show them; none where the map is 0
        everywhere and no vertebra is known.
    """
    names = (MIDLINE, _SPINE, _MESHES, *STL_FILES.values())
    for earlier in (*directory.glob("place-*.png"), *(directory / name for name in names)):
        earlier.unlink(missing_ok=True)
    pictures = []
    solids = build_solids(scene)
    if solids is not None:
        pictures.append(draw_spine(scene, solids, directory / _SPINE))
        write_meshes(solids, directory / _MESHES)
        write_stl_files(solids, directory)
    surest = {row["level"]: row["probability"] or 0.0 for row in about.lists.vertebrae}
    heat_maps = overlay_figures(scene, directory, surest)
    pictures = [*heat_maps[:1], *pictures, *heat_maps[1:]]  # the whole spine comes first
    write_case_page(scene, about, solids, pictures, directory / PAGE)
    return pictures
