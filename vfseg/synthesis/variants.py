"""Cohorts that hold several variants of each thing they are made from, and their manifest."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging
from tqdm import tqdm

from vfseg.data.cases import Case, write_manifest
from vfseg.errors import CannotWrite, UserError

_MANIFEST = "manifest.csv"


class Words(NamedTuple):
    """How a cohort is spoken of.

    Attributes:
        kind: what it holds, in the log and beside the bar.
        none: what is said where nothing can be made.
    """

    kind: str
    none: str


def make_variants(
    directory: Path,
    makers: Mapping[str, Callable[[tqdm], list[Case]]],
    variants: int,
    words: Words,
    *,
    progress: bool,
) -> Path:
    """Makes the variants of all sources, and their manifest.

    A source that cannot be used is named in the log and left out.

    Args:
        directory: gets the manifest.
        makers: name of a source -> makes its variants, or what is missing of them, and tells a bar
            of each.
        variants: of each source.
        words: for messages.
        progress: show a bar (only on a terminal).

    Returns:
        Path of the manifest.

    Raises:
        UserError: no source can be used; a file cannot be written.
    """
    made: list[Case] = []
    left_out: list[str] = []
    total, silent = len(makers) * variants, None if progress else True
    with tqdm(total=total, desc=words.kind, unit="case", disable=silent) as bar:
        for name, make in makers.items():
            try:
                made += make(bar)
            except CannotWrite:  # to go on would leave out what could be made
                raise
            except UserError as error:
                left_out.append(f"{name}: {error}")
                logging.warning("%s: %s left out: %s", words.kind, name, error)
    if not made:
        raise UserError("\n  ".join([words.none, *left_out]))
    write_manifest(directory / _MANIFEST, made)
    return directory / _MANIFEST


def variant_seed(root: int, name: str, number: int) -> np.random.SeedSequence:
    """Seed of a variant: of the root of all seeds, its source and its number alone."""
    identity = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.SeedSequence([root, identity], spawn_key=(number,))
