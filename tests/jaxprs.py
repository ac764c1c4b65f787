"""Looking into programs: what a jaxpr holds, at any depth."""

from collections.abc import Iterator

from jax.extend.core import Jaxpr, JaxprEqn


def scans(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    """All scans of a jaxpr, those within other equations too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from scans(inner)
