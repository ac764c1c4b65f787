"""Box files: one vertebra a line, voxel indices of the array as it is stored in the CT's file."""

import os
from pathlib import Path

import numpy as np
from absl import logging
from nibabel.affines import apply_affine

from vfseg.data.box import triple
from vfseg.data.geometry import Geometry
from vfseg.data.levels import Sighting, Vertebra, decide_scheme
from vfseg.data.schemes import LEVELS, SPINE_IDS
from vfseg.errors import UserError, quantity
from vfseg.files import read_lines

BOX_EDGES = ("x0", "x1", "y0", "y1", "z0", "z1")
"""Columns of a box: along the first, second and third axis of the stored array."""

_NAMES = ("id", "label", "level", "vertebra")
_WITHOUT_HEADER = {
    11: ("id", "slb", "slb2", "n_slices", "base_size", *BOX_EDGES),  # cut_li<number>.txt
    7: ("id", *BOX_EDGES),
}


def vertebrae_from_boxes(
    path: str | os.PathLike,
    geometry: Geometry,
    *,
    inclusive: bool = False,
    scheme: str | None = None,
) -> tuple[Vertebra, ...]:
    """Reads the boxes of T4 to L5, cranial to caudal.

    Lines are `cut_li` lines (id, slb, slb2, n_slices, base_size, x0, x1, y0, y1, z0, z1), or
    id, x0, x1, y0, y1, z0, z1, or what a header line names (first `id`, `label`, `level` or
    `vertebra`; then x0 to z1 among others). x, y, z are the first, second, third axis of the stored
    array. A comma at the end is allowed. Ids are numbers of a label scheme, or names such as L3.

    Args:
        path: the file.
        geometry: grid of the CT.
        inclusive: whether x1, y1 and z1 belong to the box; else boxes are half-open.
        scheme: label scheme of the ids; None takes the only one that fits (see `decide_scheme`).

    Raises:
        UserError: no such file; no box; a line with another number of cells, a cell that is not a
            whole number, a box that is inverted or leaves the volume, an id that is doubled or
            unknown; a scheme that is contradicted or cannot be determined.
    """
    path = Path(path)
    boxes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for line, cells in _lines(path):
        who = cells["id"]
        if who not in LEVELS:
            who = str(_whole(path, line, "id", who))
        if who in boxes:
            raise UserError(f"{path}: line {line}: a second box of {who}. Keep one.")
        edges = [_whole(path, line, name, cells[name]) for name in BOX_EDGES]
        start, stop = edges[::2], [edge + int(inclusive) for edge in edges[1::2]]
        for axis, low, high, size in zip("xyz", start, stop, geometry.stored_shape):
            if low >= high:
                raise UserError(
                    f"{path}: line {line}: box of {who} is empty or inverted: {axis} from {low} "
                    f"to {high}. Write the lower edge first; where both edges belong to the box, "
                    "use --boxes-inclusive."
                )
            if low < 0 or high > size:
                raise UserError(
                    f"{path}: line {line}: box of {who} leaves the volume: {axis} from {low} to "
                    f"{high}, the CT has {size} voxels there. Give the box file of this CT, in "
                    "voxel indices of the stored array."
                )
        boxes[who] = geometry.box_to_canonical(start, stop)
    if not boxes:
        raise UserError(f"{path}: no box. Write one vertebra a line.")
    found = []
    for who, name in _level_names(path, boxes, geometry, scheme).items():
        if name in LEVELS:
            found.append(_vertebra(name, who, *boxes[who], geometry))
        else:
            logging.warning("%s: box of %s (%s) left out: not among T4 to L5", path, name, who)
    return tuple(sorted(found, key=lambda vertebra: LEVELS.index(vertebra.level)))


def _level_names(
    path: Path,
    boxes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]],
    geometry: Geometry,
    scheme: str | None,
) -> dict[str, str]:
    """Name of the level of each box, by name or by label scheme."""
    if all(who in LEVELS for who in boxes):
        return {who: who for who in boxes}
    named = [who for who in boxes if who in LEVELS]
    if named:
        raise UserError(f"{path}: both names ({named[0]}) and numbers of vertebrae. Use one kind.")
    labels = {int(who): who for who in boxes}

    def sight(label: int) -> Sighting:
        middle = (np.sum(boxes[labels[label]], axis=0) - 1) / 2
        return Sighting(apply_affine(geometry.affine, middle))

    scheme, remarks = decide_scheme(list(labels), sight, scheme, str(path))
    for remark in remarks:
        logging.warning("%s: %s", path, remark)
    unknown = [label for label in labels if label not in SPINE_IDS[scheme]]
    if unknown:
        raise UserError(
            f"{path}: the label scheme {scheme} knows no vertebra {unknown[0]}. Mend the line, or "
            "name the scheme with --vertebra-scheme."
        )
    return {who: SPINE_IDS[scheme][label] for label, who in labels.items()}


def _vertebra(
    level: str, who: str, start: tuple[int, ...], stop: tuple[int, ...], geometry: Geometry
) -> Vertebra:
    low, high = np.array(start), np.array(stop)
    voxels = int(np.prod(high - low))
    return Vertebra(
        level,
        0 if who in LEVELS else int(who),
        triple(start),
        triple(stop),
        (low + high - 1) / 2,
        voxels,
        voxels * float(abs(np.linalg.det(geometry.affine[:3, :3]))) / 1000,
    )


def _lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Lines that hold a box: number, and column -> cell; the vertebra stands under "id"."""
    header: tuple[str, ...] | None = None
    found: list[tuple[int, dict[str, str]]] = []
    for line, cells in read_lines(path):
        if header is None and not found and cells[0].lower() in _NAMES:
            header = tuple(cell.lower() for cell in cells)
            missing = [name for name in BOX_EDGES if name not in header]
            if missing:
                raise UserError(
                    f"{path}: the first line lacks {', '.join(missing)}. It names the columns: "
                    f"id, {', '.join(BOX_EDGES)}."
                )
            continue
        while header is None and cells and not cells[-1]:
            cells.pop()
        columns = header or _WITHOUT_HEADER.get(len(cells))
        if columns is None or len(cells) < len(columns):
            raise UserError(
                f"{path}: line {line} has {quantity(len(cells), 'cell')}. Write 11 (id, slb, slb2, "
                f"n_slices, base_size, {', '.join(BOX_EDGES)}), 7 (id, {', '.join(BOX_EDGES)}), or "
                "a first line that names the columns."
            )
        named = dict(zip(columns, cells))
        named["id"] = cells[0]
        found.append((line, named))
    return found


def _whole(path: Path, line: int, name: str, cell: str) -> int:
    try:
        value = float(cell)
        if value != int(value):
            raise ValueError
    except (ValueError, OverflowError):
        raise UserError(
            f"{path}: line {line}: {name} is {cell!r}, expected a whole number. Mend the line."
        ) from None
    return int(value)
