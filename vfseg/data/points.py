"""Points in the vertebral bodies: from two kinds of file to vertebrae with boxes of usual size."""

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import apply_affine

from vfseg.data.attribution import SHOWN_MARGIN_MM
from vfseg.data.body_sizes import BODY_MM
from vfseg.data.box import triple
from vfseg.data.geometry import Geometry
from vfseg.data.levels import Vertebra
from vfseg.data.schemes import LEVELS, SPINE_IDS
from vfseg.errors import UserError
from vfseg.files import open_input, read_table
from vfseg.json_files import parse_json

BOX_MARGIN_MM = (2.0, SHOWN_MARGIN_MM, SHOWN_MARGIN_MM)
"""Added to a box on both sides, up, forwards and sideways: upwards half of a disc, so that less of
a neighbour gets in; else as far as maps show what is near a mask."""

_AXES = {"S": (0, 1), "I": (0, -1), "A": (1, 1), "P": (1, -1), "R": (2, 1), "L": (2, -1)}
_ISOTROPIC = re.compile(r"(?<![a-z])iso[_-]ctd$")  # VerSe's on a grid of 1 mm
_ROUNDED_MM, _ROUNDED_VOXELS = 0.006, 1.0  # as far as files round what they say of their grid
_COLUMNS = ("level", "x", "y", "z")

UNCERTAIN, FOUND = "uncertain", "found"
"""Flags of a vertebra whose name is uncertain, and that a program found and nobody looked at, in
the column `flags` of a CSV file and in all results."""

FLAGS = (FOUND, UNCERTAIN)
"""Those that a CSV file may give."""

_FORMS = (
    "Give VerSe's or SPINEPS's *_ctd.json, or a CSV whose first line is level,x,y,z and each other "
    "one a level (T4 to L5) and the middle of its body in mm, in the world of NIfTI (RAS+)."
)


def vertebrae_from_points(
    path: str | os.PathLike, geometry: Geometry
) -> tuple[tuple[Vertebra, ...], tuple[str, ...]]:
    """Vertebrae T4 to L5, cranial to caudal, and notes on what was left out.

    A `.json` file has the centroids of VerSe, SPINEPS and TPTBox: first the axes, then an id of
    VerSe and voxel indices for each vertebra, on the grid of the CT seen along those axes. Where it
    says what grid that is (`zoom`, `shape`; `*_iso-ctd.json` is of 1 mm), it must be the CT's. Any
    other file is CSV: a level, and x, y, z in mm; a column `flags` may have some of `FLAGS`.

    The box of a vertebra holds a body of usual size (`BODY_MM`) around its point, turned as the
    line through the neighbouring points is, and a margin (`BOX_MARGIN_MM`), but not the arch. What
    leaves the volume is cut off, and a body that does is flagged "cut"; flags of the file follow.

    Raises:
        UserError: the file cannot be read, or is of another form or grid; a level twice, out of
            order, or outside the volume; none of T4 to L5.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        places, flags = _of_json(path, geometry), dict[str, tuple[str, ...]]()
    else:
        places, flags = _of_csv(path, geometry)
    if not any(level in LEVELS for level in places):
        raise UserError(f"{path}: no point of T4 to L5. {_FORMS}")
    other = [level for level in places if level not in LEVELS]
    notes = tuple(f"{path.name}: {level} left out: not among T4 to L5" for level in other)
    known = {level: places[level] for level in LEVELS if level in places}
    unsure = [level for level in known if UNCERTAIN in flags.get(level, ())]
    if unsure:
        notes += (f"{path.name}: calls the names of {', '.join(unsure)} uncertain",)
    for level, place in known.items():
        if not all(-0.5 <= at < size - 0.5 for at, size in zip(place, geometry.shape)):
            where = ", ".join(f"{at:.0f}" for at in apply_affine(geometry.affine, place))
            raise UserError(
                f"{path}: {level} lies outside the CT, at ({where}) mm. Give the points of this "
                "CT; x grows to the patient's right, y to the front, z to the head (3D Slicer "
                "writes LPS: there x and y have the other sign)."
            )
    _check_order(path, {k: apply_affine(geometry.affine, place) for k, place in known.items()})
    return tuple(_vertebrae(known, geometry, flags)), notes


def _of_json(path: Path, geometry: Geometry) -> dict[str, np.ndarray]:
    """Canonical voxel of each point of a file of centroids."""
    try:
        with open_input(path) as file:
            header, *entries = parse_json(file.read())
        axes = [_AXES[letter] for letter in header["direction"]]
        if sorted(axis for axis, _ in axes) != [0, 1, 2]:
            raise ValueError(f"direction {header['direction']}")
        zoom, shape = (_three(header, key) for key in ("zoom", "shape"))
        points = [(int(entry["label"]), [float(entry[key]) for key in "XYZ"]) for entry in entries]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}). Check the path.") from error
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path}: not a file of centroids ({type(error).__name__}: {error}). {_FORMS}"
        ) from error
    if zoom is None and _ISOTROPIC.search(path.stem.lower()):
        zoom = np.ones(3)
    order = [axis for axis, _ in axes]
    _check_grid(path, "mm a voxel", zoom, geometry.voxel_spacing[order], _ROUNDED_MM)
    _check_grid(path, "voxels", shape, np.array(geometry.shape)[order], _ROUNDED_VOXELS)
    places: dict[str, np.ndarray] = {}
    for label, values in points:
        place = np.zeros(3)
        for (axis, sign), value in zip(axes, values):
            place[axis] = value if sign > 0 else geometry.shape[axis] - 1 - value
        _put(path, places, SPINE_IDS["verse"].get(label, f"id {label}"), place)
    return places


def _three(header: Mapping[str, Any], key: str) -> np.ndarray | None:
    """Three numbers of a header, None where it does not give them."""
    if header.get(key) is None:
        return None
    values = np.array([float(value) for value in header[key]])
    if len(values) != 3:
        raise ValueError(f"{key} {header[key]}")
    return values


def _check_grid(
    path: Path, what: str, said: np.ndarray | None, own: np.ndarray, rounded: float
) -> None:
    """Refuses a file that says of its grid what is not so of the CT's, both along its axes."""
    if said is not None and not (np.abs(said - own) < rounded).all():
        found, wanted = (" x ".join(f"{v:.4g}" for v in values) for values in (said, own))
        raise UserError(
            f"{path}: its points lie on another grid than the CT: {found} {what}, the CT has "
            f"{wanted}. Give the points of this CT, or a CSV in mm."
        )


def _of_csv(
    path: Path, geometry: Geometry
) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...]]]:
    """Canonical voxel of each point of a CSV file of mm, and the flags that it has for them."""
    columns, rows = read_table(path, "file of points")
    columns = [column.lower() for column in columns]
    if columns[:4] != list(_COLUMNS):
        raise UserError(f"{path}: the first line is {','.join(columns)!r}. {_FORMS}")
    to_index = np.linalg.inv(geometry.affine)
    known = set(SPINE_IDS["verse"].values())
    places: dict[str, np.ndarray] = {}
    flags = {}
    for line, row, _ in rows:
        level, *cells = list(row.values())[:4]
        if level not in known:
            raise UserError(f"{path}: line {line}: no vertebra {level!r}. Write T4 to L5.")
        try:
            point = np.array([float(cell) for cell in cells])
        except ValueError:
            point = np.full(3, np.nan)
        if not np.isfinite(point).all():
            raise UserError(f"{path}: line {line}: {cells} are not three numbers of mm. Mend it.")
        _put(path, places, level, apply_affine(to_index, point))
        given = dict(zip(columns, row.values())).get("flags", "").split()
        flags[level] = tuple(flag for flag in FLAGS if flag in given)
    return places, flags


def _put(path: Path, places: dict[str, np.ndarray], level: str, place: np.ndarray) -> None:
    if level in places:
        raise UserError(f"{path}: a second point of {level}. Keep one.")
    if not np.isfinite(place).all():
        raise UserError(f"{path}: the point of {level} is no place. Mend it.")
    places[level] = place


def _check_order(path: Path, centres: Mapping[str, np.ndarray]) -> None:
    """Refuses a level that does not lie above the next one."""
    levels = list(centres)
    for upper, lower in itertools.pairwise(levels):
        if centres[upper][2] <= centres[lower][2]:
            raise UserError(
                f"{path}: {upper} lies below {lower}. Mend the names, or the sign of z: it grows "
                "towards the head."
            )


def _vertebrae(
    places: Mapping[str, np.ndarray], geometry: Geometry, flags: Mapping[str, tuple[str, ...]]
) -> Iterator[Vertebra]:
    """A vertebra around each canonical voxel; levels cranial to caudal."""
    centres = apply_affine(geometry.affine, np.array(list(places.values())))
    to_index = np.linalg.inv(geometry.affine[:3, :3])
    voxel_ml = float(abs(np.linalg.det(geometry.affine[:3, :3]))) / 1000
    for number, (level, place) in enumerate(places.items()):
        axes = _axes(centres[max(number - 1, 0)] - centres[min(number + 1, len(centres) - 1)])
        # The corners of a turned body reach as far as its half edges together.
        body = np.abs(to_index @ axes.T) @ BODY_MM[level] / 2
        reach = body + BOX_MARGIN_MM / geometry.voxel_spacing
        start = np.clip(np.ceil(place - reach), 0, np.array(geometry.shape) - 1).astype(int)
        stop = np.clip(np.floor(place + reach) + 1, start + 1, geometry.shape).astype(int)
        cut = (place - body < -0.5).any() or (place + body > np.array(geometry.shape) - 0.5).any()
        voxels = int(np.prod(stop - start))
        own = (*(["cut"] if cut else ()), *flags.get(level, ()))
        yield Vertebra(
            *(level, 0, triple(start), triple(stop), place, voxels, voxels * voxel_ml, own)
        )


def _axes(along: np.ndarray) -> np.ndarray:
    """Rows up, front, right in RAS+ of a vertebra on a line; straight where there is none."""
    length = np.linalg.norm(along)
    up = along / length if length else np.array([0.0, 0, 1])
    front = np.array([0.0, 1, 0]) - up[1] * up
    front /= np.linalg.norm(front)
    return np.stack([up, front, np.cross(front, up)])
