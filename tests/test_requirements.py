"""The bounds in pyproject.toml can be reached: Orbax, which is pinned there, asks for no more."""

import importlib.metadata
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.cohort import ROOT


def _lowest(requirement):
    """The lower bound, 0 where there is none."""
    bounds = [Version(s.version) for s in requirement.specifier if s.operator in (">=", "==")]
    return max(bounds, default=Version("0"))


def test_what_orbax_asks_for_is_asked_for_here():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {canonicalize_name(r.name): r for r in map(Requirement, project["dependencies"])}
    asked = [Requirement(text) for text in importlib.metadata.requires("orbax-checkpoint") or []]
    both = [r for r in asked if r.marker is None and canonicalize_name(r.name) in ours]
    assert {"jax", "tensorstore"} <= {r.name for r in both}
    too_low = [
        f"{own}: Orbax asks for {r}"
        for r in both
        if _lowest(own := ours[canonicalize_name(r.name)]) < _lowest(r)
    ]
    assert not too_low


def test_the_lower_bounds_are_the_oldest_versions_that_were_tried():
    """Those of the line of docs/reach.md with the oldest Python; `.ci/reach` writes it."""
    head, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "reach.md").read_text().splitlines()
        if line.startswith("|")
    ]
    rows = [dict(zip(head, line)) for line in lines if len(line) == len(head)]
    oldest = min(
        (row for row in rows if row["dependencies"] == "oldest"), key=lambda r: Version(r["Python"])
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = Requirement(f"python{project['requires-python']}")
    assert Version(oldest["Python"]).release[:2] == _lowest(python).release[:2]
    bounds = {r.name: _lowest(r) for r in map(Requirement, project["dependencies"])}
    tried = {name: Version(oldest[name]) for name in head if name in bounds}
    assert len(tried) > 10
    assert tried == {name: bounds[name] for name in tried}


def test_jax_has_an_upper_bound_for_what_has_no_public_name():
    """See `test_processes.test_the_part_of_jax_that_has_no_public_name_is_as_it_was`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (jax,) = [r for r in map(Requirement, project["dependencies"]) if r.name == "jax"]
    assert [s.operator for s in jax.specifier if s.operator == "<"]
    assert jax.specifier.contains(importlib.metadata.version("jax"))
