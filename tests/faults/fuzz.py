"""Coverage-guided fuzzing of one reader: `python -m tests.faults.fuzz READER --inputs 5000`.

atheris chooses what to change by which lines of the package, and of the libraries that parse for
it, an input reaches (`pip install -e '.[test,fuzz]'`, Python 3.11 to 3.13). Every input is held to
what `tests.faults.attempts` says is right; one that is not is kept, and the program goes on. At its
end it prints a line for the table of `docs/reliability.md`, and has status 1 where anything was
wrong. `python -m tests.faults.fuzz READER --input FILE` gives the reader one kept input.
"""

import argparse
import collections
import hashlib
import logging
import os
import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

_PARSERS = ("vfseg", "nibabel", "pydicom", "gzip", "zipfile", "json", "csv", "pickletools")
with atheris.instrument_imports(include=list(_PARSERS)):
    from tests.faults.attempts import MESSAGE, VALUE, Target, bounded, outcome
    from tests.faults.mutations import WAYS
    from tests.faults.targets import TARGETS

_LONGEST = 2**16


class Tally:
    """What became of the inputs so far; ends the program after the last one."""

    def __init__(self, name: str, target: Target, inputs: int, kept: Path):
        self._name, self._target, self._inputs, self._kept = name, target, inputs, kept
        self._found: collections.Counter[str] = collections.Counter()
        self._wrong: collections.Counter[str] = collections.Counter()

    def __call__(self, data: bytes) -> None:
        """Tries one input."""
        result = outcome(self._target, data)
        self._found[result if result in (VALUE, MESSAGE) else "wrong"] += 1
        if result not in (VALUE, MESSAGE):
            self._wrong[kind := result[:60]] += 1
            if self._wrong[kind] == 1:
                self._keep(data, result)
        if self._found.total() >= self._inputs:
            self._end()

    def _keep(self, data: bytes, result: str) -> None:
        self._kept.mkdir(parents=True, exist_ok=True)
        path = self._kept / f"{self._name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        print(f"{result}\n  again: python -m tests.faults.fuzz {self._name} --input {path}")

    def _end(self) -> None:
        found = self._found
        print(
            f"| {self._name} | {found.total()} | {found[VALUE]} | {found[MESSAGE]} "
            f"| {found['wrong']} |",
            flush=True,
        )
        os._exit(bool(found["wrong"]))  # the fuzzer's loop has no other end


def change(data: bytes, most: int, seed: int) -> bytes:
    """A changed input: by the fuzzer's own ways, or by those that know what JSON and counts are."""
    rng = np.random.default_rng(seed)
    if data and rng.random() < 0.5:
        return WAYS[rng.integers(len(WAYS))](data, rng)[:most]
    return atheris.Mutate(data, most)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reader", choices=TARGETS)
    parser.add_argument("--inputs", type=int, default=5000, help="how many are tried")
    parser.add_argument("--input", type=Path, help="the one to try")
    parser.add_argument("--kept", type=Path, default=Path("kept"), help="folder of what is wrong")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable()  # what readers remark on an input is no news here
    with tempfile.TemporaryDirectory() as place:
        folder, corpus = Path(place) / "files", Path(place) / "corpus"
        folder.mkdir()
        corpus.mkdir()
        target = TARGETS[options.reader](folder)
        for number, seed in enumerate(target.seeds):
            (corpus / str(number)).write_bytes(seed)
            outcome(target, seed)  # what is only made once is made before memory is looked at
        with bounded():
            if options.input:
                sys.exit(outcome(target, options.input.read_bytes()))
            tally = Tally(options.reader, target, options.inputs, options.kept)
            flags = [f"-seed={options.seed}", f"-max_len={_LONGEST}", "-timeout=60"]
            flags += ["-rss_limit_mb=0", "-verbosity=0", "-len_control=0"]
            flags += [f"-artifact_prefix={options.kept}/"]  # of an input that takes too long
            atheris.Setup([sys.argv[0], *flags, str(corpus)], tally, custom_mutator=change)
            atheris.Fuzz()


if __name__ == "__main__":
    main()
