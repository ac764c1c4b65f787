"""Looking into programs: what a jaxpr holds, at any depth."""

from collections.abc import Iterator

from jax.extend.core import Jaxpr, JaxprEqn


def equations(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    """All equations of a jaxpr, those within others too."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def scans(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    """All scans of a jaxpr."""
    return (equation for equation in equations(jaxpr) if equation.primitive.name == "scan")


def count(jaxpr: Jaxpr, primitive: str) -> int:
    """How many equations of a jaxpr are of this kind."""
    return sum(equation.primitive.name == primitive for equation in equations(jaxpr))
