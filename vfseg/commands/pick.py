"""Mode `pick`: a page in which the vertebral bodies of a CT are clicked and named."""

import shlex

from vfseg.commands.request import Request, size_of
from vfseg.data.discovery import case_of_ct
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.volume import read_geometry


def pick(request: Request) -> None:
    """Writes the page of one CT, and says what to do with what it gives.

    Raises:
        UserError: whatever is wrong with the CT; the page stands already, is not named as one, or
            cannot be written; the viewer is not installed.
    """
    path = request.new_file(".html", "a page")
    case = case_of_ct(request.input)
    print(f"{case.ct}: {size_of(read_geometry(case.ct))}", flush=True)
    from vfseg.report.picker import POINTS_SUFFIX, write_picker  # a second, in which it is refused

    write_picker(case.case_id, read_hounsfield(case.ct), path)
    points = f"{case.case_id}{POINTS_SUFFIX}"
    print(f"written: {path}. Open it, click the bodies from the top down, name one, and download.")
    print(f"Then: vfseg predict {shlex.quote(str(case.ct))} --points {shlex.quote(points)} -o out")
