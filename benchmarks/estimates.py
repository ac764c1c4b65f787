"""Memory that is said beside memory that is taken: predictions of CTs of several sizes, training.

`python -m benchmarks.estimates [--quick]`

Each line is the program's own main function in a process of its own, on the CPU, with nothing
compiled before: what it said at its beginning, and the peak of its resident size. The CTs are
synthetic (noise, 14 blocks for vertebrae, a label map, gzip), of one extent in mm, and the model is
the one that the package brings along. Training is that of `configs/quickstart.py` and its tiny
variant on a few cases, a few steps of each stage.
"""

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import large_ct, workers
from benchmarks.memory import peak_resident_bytes

SHAPES = ((128, 128, 112), (200, 200, 200), (448, 404, 488), large_ct.SHAPE)
EXTENT_MM = tuple(n * step for n, step in zip(large_ct.SHAPE, large_ct.SPACING))
STEPS = {"attention": 2, "recurrent": 2, "adversarial": 2}
GOAL = "goal: what is said is within 25 % of the peak"
_SAID = re.compile(r"about (?:\d+ s and )?([\d.]+) GB of memory")


def predict(folder: str) -> list[float]:
    """Bytes that a prediction says and takes; runs in a process of its own."""
    from vfseg import main

    at, printed = Path(folder), io.StringIO()
    arguments = ["--mode=predict", f"--input={at / large_ct.FILES['ct']}", "--overwrite"]
    arguments += [f"--vertebrae={at / large_ct.FILES['vertebrae']}", f"--output={at / 'out'}"]
    with contextlib.redirect_stdout(printed):
        status = main.main(["vfseg", *arguments, "--vertebra-scheme=verse"])
    assert status == 0, status
    return [_said(printed.getvalue()), peak_resident_bytes()]


def train(folder: str, variant: str) -> list[float]:
    """Bytes that a training says and takes; runs in a process of its own."""
    from vfseg import main
    from vfseg.training import loop

    words, genuine = [], loop.memory_words
    loop.memory_words = lambda programs: words.append(genuine(programs)) or words[0]
    few = {f"stages.{name}": steps for name, steps in STEPS.items()}
    few |= {"train.validate_every": sum(STEPS.values()), "train.patience": 0}
    few |= {"phantom.train": 2, "phantom.validation": 1, "phantom.test": 1}
    arguments = [f"--config=configs/quickstart.py{variant and ':'}{variant}", "--mode=train"]
    arguments += [f"--config.{key}={value}" for key, value in few.items()]
    sys.argv = ["vfseg", *arguments, f"--workdir={folder}/run"]  # there settings are looked for
    status = main.main(sys.argv)
    assert status == 0, status
    return [_said(words[0]), peak_resident_bytes()]


def _said(text: str) -> float:
    found = _SAID.search(text)
    assert found, text
    return float(found[1]) * 1e9


def measure(*, quick: bool) -> Iterator[tuple[str, float, float]]:
    """What is measured, bytes said, bytes taken."""
    for shape in SHAPES[: 1 if quick else None]:
        with _alone() as folder:
            spacing = [whole / n for whole, n in zip(EXTENT_MM, shape)]
            workers.call("benchmarks.large_ct", "write_case", folder, shape, spacing)
            said, taken = workers.call("benchmarks.estimates", "predict", folder)
        yield f"predict {'x'.join(map(str, shape))}", said, taken
    for variant in ("tiny",) if quick else ("tiny", ""):
        with _alone() as folder:
            said, taken = workers.call("benchmarks.estimates", "train", folder, variant)
        yield f"train {variant or 'quickstart'}", said, taken


@contextlib.contextmanager
def _alone() -> Iterator[str]:
    """A folder, in which the programs are kept that its processes compile."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder + "/xla"
        yield folder


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one prediction, one training")
    args = parser.parse_args(argv)
    print(f"{'':<28}{'said, GB':>10}{'peak, GB':>10}{'said / peak':>13}")
    for name, said, taken in measure(quick=args.quick):
        print(f"{name:<28}{said / 1e9:>10.2f}{taken / 1e9:>10.2f}{said / taken:>13.2f}", flush=True)
    print(GOAL)


if __name__ == "__main__":
    main()
