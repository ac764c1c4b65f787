"""Work in a process of its own, which inherits neither threads nor memory.

`python -m benchmarks.workers MODULE FUNCTION ARGUMENTS` calls a function and prints what it
returns, as JSON, on its last line.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Call(NamedTuple):
    """What `call` calls."""

    module: str
    function: str
    arguments: tuple[Any, ...]


def by_turns(calls: Mapping[str, Call], rounds: int) -> dict[str, list[dict[str, float]]]:
    """What each of the calls returned in each round; says it as it comes.

    Every round makes each call once, in an order that rotates from round to round.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name in map(str, np.roll(list(calls), -turn)):
            module, function, arguments = calls[name]
            answer = call(module, function, *arguments)
            found[name].append(answer)
            print(f"{name}: {answer}", flush=True)
    return found


def call(module: str, function: str, *arguments: Any) -> Any:
    """What a function of a module returns in a process of its own; whatever it prints is printed.

    Args:
        module: full name.
        function: its name there; imports that are not to be measured are made before it begins.
        arguments: of the function. They and its result are what JSON can hold.

    Raises:
        SystemExit: it failed; with what it wrote to standard error.
    """
    environment = {**os.environ, "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu")}
    done = subprocess.run(
        command(module, function, *arguments),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{module}.{function}{arguments} failed:\n{done.stderr}")
    *printed, result = done.stdout.splitlines()
    if printed:
        print("\n".join(printed))
    return json.loads(result)


def command(module: str, function: str, *arguments: Any) -> list[str]:
    """The command line that calls a function in a process of its own."""
    return [sys.executable, "-m", "benchmarks.workers", module, function, json.dumps(arguments)]


def answer(result: Any) -> None:
    """Hands a result to the process that called; for functions that end the process themselves."""
    print(json.dumps(result), flush=True)


def main() -> None:
    """Calls the function that the command line names."""
    module, function, arguments = sys.argv[1:]
    answer(getattr(importlib.import_module(module), function)(*json.loads(arguments)))


if __name__ == "__main__":
    main()
