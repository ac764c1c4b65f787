"""Crops that pose as whole CTs: found by their voxels in a larger CT that has their affine."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vfseg.audit.findings import CaseFacts, Finding, have_one_affine
from vfseg.data.box import triple
from vfseg.data.patients import person
from vfseg.data.volume import Volume, read_ct
from vfseg.errors import UserError

_SLAB_VOXELS = 8 * 2**20
_BLOCK = 8


def find_crops(cases: Sequence[CaseFacts], files: Mapping[str, Path]) -> Iterator[Finding]:
    """Cases cut from another case but saved with its affine, so that they lie elsewhere in mm.

    A case with the affine of a larger one is looked for in it by a block of its voxels. Found
    elsewhere than the affine says, that is an error; found where it says, a duplicate. Not found
    (resampled, or another scan on the same grid), it is a warning if the patient is the same.

    Args:
        cases: facts of the cases.
        files: CT of each case.
    """
    for parent in cases:
        suspects = [case for case in cases if _has_affine_of(case, parent)]
        if not suspects:
            continue
        try:
            ct = read_ct(files[parent.case_id])
        except UserError:  # it could be read a moment ago
            continue
        stored = ct.geometry.to_stored(ct.array).reshape(ct.geometry.stored_shape[:3])
        for case in suspects:
            finding = _compare(case, parent, stored)
            if finding:
                yield finding


def distinctive_block(ct: Volume) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The block of stored voxels with most contrast on a coarse net, and where it starts."""
    stored = ct.geometry.to_stored(ct.array).reshape(ct.geometry.stored_shape[:3])
    size = np.minimum(stored.shape, _BLOCK)
    room = np.array(stored.shape) - size
    candidates = [
        triple(room * np.array(parts) / 4) for parts in itertools.product((1, 2, 3), repeat=3)
    ]
    blocks = [
        stored[tuple(slice(at, at + n) for at, n in zip(start, size))] for start in candidates
    ]
    best = int(np.argmax([np.ptp(block) for block in blocks]))
    return np.array(blocks[best]), candidates[best]


def find_block(array: np.ndarray, block: np.ndarray) -> np.ndarray | None:
    """Index [3] in `array` where `block` begins, the first one; None where it is not in it."""
    room = np.array(array.shape) - block.shape + 1
    if (room < 1).any():
        return None
    thickness = max(1, _SLAB_VOXELS // (array.shape[0] * array.shape[1]))
    offsets = np.argwhere(np.ones(block.shape, bool))
    # The values farthest apart first: they rule out most.
    order = np.argsort(-np.abs(block.ravel().astype(int) - int(np.median(block))))
    offsets, wanted = offsets[order], block.ravel()[order]
    for first in range(0, room[2], thickness):
        last = min(first + thickness, room[2])
        x, y, z = offsets[0]
        slab = array[x : x + room[0], y : y + room[1], z + first : z + last]
        at = np.argwhere(slab == wanted[0]) + np.array([0, 0, first])
        for offset, value in zip(offsets[1:], wanted[1:]):
            if not len(at):
                break
            at = at[array[tuple((at + offset).T)] == value]
        if len(at):
            return at[0]
    return None


def _has_affine_of(case: CaseFacts, parent: CaseFacts) -> bool:
    own, other = case.stored_shape, parent.stored_shape
    if case is parent or own is None or other is None:
        return False
    smaller = own[:3] != other[:3] and all(a <= b for a, b in zip(own[:3], other[:3]))
    return smaller and have_one_affine(case, parent)


def _compare(case: CaseFacts, parent: CaseFacts, stored: np.ndarray) -> Finding | None:
    """Looks for a case in a CT `x y z` (as stored) that has its affine."""
    assert case.block is not None
    assert case.stored_affine is not None
    at = find_block(stored, case.block) if np.ptp(case.block) else None

    same = person(case.patient_id) == person(parent.patient_id)

    def find(severity: str, kind: str, message: str) -> Finding:
        return Finding(severity, kind, message, case.case_id, split=case.split)

    if at is not None:
        start = at - case.block_start
        distance = float(np.linalg.norm(case.stored_affine[:3, :3] @ start))
        if start.any():
            return find(
                *("error", "crop_affine"),
                f"is a crop of {parent.case_id} from voxel {tuple(start.tolist())} of the file on, "
                f"but has that CT's affine: everything in it lies {distance:.0f} mm from where "
                "the header says. Cut it again with an affine moved to its first voxel.",
            )
        leak = case.split != parent.split
        return find(
            "warning" if same and not leak else "error",
            "duplicate",
            f"is a part of {parent.case_id}{', across splits' if leak else ''}. Keep one of them.",
        )
    if same:
        return find(
            *("warning", "crop_affine"),
            f"shape {case.stored_shape}, but the affine of {parent.case_id} with "
            f"{parent.stored_shape}: a crop saved with the affine of the CT it was cut from? If "
            "so, cut it again with an affine moved to its first voxel.",
        )
    return None
