"""`docs/reference.md` has every public name, and where each is written."""

import inspect
import re
from pathlib import Path

import vfseg
from tests.cohort import ROOT

PAGE = ROOT / "docs" / "reference.md"
ROWS = dict(re.findall(r"^\| `vfseg\.(\w+)` \| .* \| \[.*\]\((.*)\) \|$", PAGE.read_text(), re.M))


def test_it_has_every_public_name_and_no_other():
    assert sorted(ROWS) == sorted(vfseg.__all__)


def test_the_site_takes_the_docstring_of_each_that_has_one():
    documented = {name for name in vfseg.__all__ if callable(getattr(vfseg, name))}
    asked = re.findall(r"^<!-- reference: vfseg\.(\w+) -->$", PAGE.read_text(), re.M)
    assert len(asked) == len({*asked})
    assert {*asked} == documented
    for name in documented:
        written = Path(inspect.getsourcefile(getattr(vfseg, name)))
        assert (PAGE.parent / ROWS[name]).resolve() == written
