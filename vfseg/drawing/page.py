"""Offline pages: one HTML file each, from templates that share a frame and a style.

A template stands in the folder `templates` of the package that fills it; it extends
`page.html.j2`. Everything that it shows is escaped, and a name that it is not given is an error.
"""

import functools
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from vfseg import RESEARCH_USE
from vfseg.errors import quantity
from vfseg.files import atomic_file

_OWN = "vfseg.drawing"


def write_html(path: Path, package: str, template: str, **content: Any) -> None:
    """Writes a page; it appears complete or not at all.

    Args:
        path: of the HTML file. Links are relative to its folder.
        package: whose folder `templates` holds the template.
        template: name of the file.
        content: what the template shows; `title` and `kind` (a class of the style) for the frame.

    Raises:
        UserError: the page cannot be written.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(_OWN)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["link"] = functools.partial(link, folder=path.parent)
    environment.filters["quantity"] = quantity
    environment.globals["research_use"] = RESEARCH_USE
    text = environment.get_template(template).render(content)
    with atomic_file(path) as file:
        file.write(text.encode())


def link(path: Path, folder: Path) -> str:
    """Relative link from a page in a folder; percent-encoded."""
    return quote(os.path.relpath(path, folder).replace(os.sep, "/"))
