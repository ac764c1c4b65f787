"""Mode `show`: a picture of where the vertebrae of a CT were understood to be."""

from vfseg.commands.request import Request, asked_case, size_of
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.spine import read_spine
from vfseg.data.volume import read_geometry


def show(request: Request) -> None:
    """Draws the spine of the one CT that is asked for, and says how its vertebrae were read.

    Raises:
        UserError: whatever is wrong with CT or vertebrae; the picture stands already, is not named
            as one, or cannot be written.
    """
    path = request.new_file(".png", "a picture")
    case = asked_case(request)
    geometry = read_geometry(case.ct)
    print(f"{case.ct}: {size_of(geometry)}", flush=True)
    spine = read_spine(case, geometry, request.reading)
    ct = read_hounsfield(case.ct)
    from vfseg.drawing.understood import draw_understood  # a second, in which a CT may be refused

    draw_understood(case.case_id, ct, spine, path)
    print(f"{case.case_id}: {'; '.join(spine.notes)}")
    for vertebra in spine.vertebrae:
        size = [stop - start for start, stop in zip(vertebra.start, vertebra.stop)]
        mm = " x ".join(f"{n * s:.0f}" for n, s in zip(size, geometry.voxel_spacing))
        print(f"{vertebra.level:<4} {mm} mm  {' '.join(vertebra.flags)}".rstrip())
    print(f"written: {path}")
