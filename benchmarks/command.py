"""What the command lines of all benchmarks share: flags, the device, and how results come out."""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import jax

from benchmarks.environment import BUSY, environment
from benchmarks.timing import Table

PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu"}  # what JAX calls them


def arguments(
    description: str, argv: Sequence[str] | None = None, *, cpu_devices: int = 1
) -> argparse.Namespace:
    """The flags that all benchmarks share; chooses the device, so call it before anything runs.

    Args:
        description: of the benchmark; its first line is shown.
        argv: the command line, if it is not that of the process.
        cpu_devices: number of devices as which JAX sees a CPU.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    add_flags(parser)
    args = parser.parse_args(argv)
    if cpu_devices > 1:
        jax.config.update("jax_num_cpu_devices", cpu_devices)
    choose_device(args.device)
    return args


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds `--device`, `--quick` and `--json`."""
    parser.add_argument("--device", choices=PLATFORMS, help="default: the best one JAX finds")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds: seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")


def choose_device(device: str | None) -> None:
    """Makes JAX use a kind of device, in this process and in those that start from it.

    Args:
        device: a key of `PLATFORMS`; None for the best one that JAX finds.

    Raises:
        SystemExit: there is none of that kind.
    """
    # Peers and processes of their own compute on the same device: none may take all its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if device:
        jax.config.update("jax_platforms", PLATFORMS[device])
    try:
        found = jax.default_backend()
    except RuntimeError as error:
        raise SystemExit(f"--device {device}: JAX finds none here ({error})") from None
    if device and found != device:
        raise SystemExit(f"--device {device}: JAX runs on {found} here")
    if found in PLATFORMS:
        os.environ["JAX_PLATFORMS"] = PLATFORMS[found]


def publish(tables: Sequence[Table], json_file: Path | None) -> None:
    """Prints where it ran and the tables; writes both to a file if one is named."""
    where = environment()
    if (load := where["load_before"]) > BUSY:
        print(f"the machine had a load of {load:.1f} before this began: do not keep these times")
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    for table in tables:
        print(f"\n{table}")
    if json_file:
        memory = jax.devices()[0].memory_stats() or {}  # a CPU keeps none
        result = {
            "environment": where,
            "device_bytes": memory.get("peak_bytes_in_use"),
            "tables": [asdict(table) for table in tables],
        }
        json_file.write_text(json.dumps(result, indent=1) + "\n")
