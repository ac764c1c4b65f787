"""NiiVue, the viewer in the page of a case: read from the installed package `ipyniivue`.

The package brings NiiVue as a widget of notebooks, which a page cannot drive, and within it, as a
text, the module from which the widget saves pages that stand alone. That module is taken.

References:
    https://github.com/niivue/niivue (BSD-2-Clause).
"""

import functools
import importlib.util
import re
from pathlib import Path
from urllib.parse import unquote

_WIDGET = Path("static") / "widget.js"
_ENCODED = re.compile(r'"((?:[\w.!~*\'()-]|%[0-9A-F]{2}){100000,})"', re.ASCII)
_EXPORTED = re.compile(r"export\{[^}]*\bNiivue\b[^}]*\};?\s*$")


@functools.cache
def niivue_module() -> str | None:
    """The text of an ES module that defines the class `Niivue`, fit to stand within a script.

    Returns:
        The module without its exports; None where `ipyniivue` is not installed (the extra
        `report`), or brings no such module.
    """
    package = importlib.util.find_spec("ipyniivue")  # importing it would import a notebook's stack
    if package is None or not package.submodule_search_locations:
        return None
    widget = Path(package.submodule_search_locations[0]) / _WIDGET
    if not widget.is_file():
        return None
    for encoded in _ENCODED.findall(widget.read_text(encoding="utf-8")):
        module = unquote(encoded)
        if _EXPORTED.search(module):
            return within_script(_EXPORTED.sub("", module))
    return None


def within_script(code: str) -> str:
    r"""A program in which nothing ends the element `script` that holds it.

    >>> within_script("a='</script>';b='<!--'")
    "a='<\\/script>';b='<\\!--'"
    """
    return re.sub("<(?=/script|!--)", r"<\\", code, flags=re.IGNORECASE)
