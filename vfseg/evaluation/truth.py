"""What is known of the fractures of a case: the mask, the grades, and how they were made."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import logging

from vfseg.data.cases import Case
from vfseg.data.geometry import check_same_geometry
from vfseg.data.grades import grades_of
from vfseg.data.instances import separated
from vfseg.data.outputs import FACTS
from vfseg.data.volume import Volume, read_labels
from vfseg.errors import UserError
from vfseg.schemas import TEXT, TRUTH, Maybe, read_checked
from vfseg.settings import whole

ACROSS_SLICES = "across slices"


class KnownFractures(NamedTuple):
    """What is known of the fractures of a case.

    Attributes:
        instances: ids `d h w` on the grid of the CT, 0 is none.
        grades: Genant grade by level, 0 to 3; empty where the case names no table that grades it.
        patterns: how each instance of a synthetic case breaks; empty for any other case.
    """

    instances: np.ndarray
    grades: Mapping[str, int]
    patterns: Mapping[int, str]


def known_fractures(case: Case, ct: Volume, marked: bool) -> KnownFractures:
    """Reads what is known of the fractures of a case.

    Args:
        case: with a fracture mask.
        ct: its CT.
        marked: whether the masks of the data set tell fractures apart, see `instances_are_marked`.

    Raises:
        UserError: as in `read_truth`.
    """
    return KnownFractures(
        separated(read_truth(case, ct), marked),
        known_grades(case),
        known_patterns(case) if marked else {},
    )


def read_truth(case: Case, ct: Volume) -> np.ndarray:
    """Fracture mask of a case as its file has it, `d h w` on the grid of the CT.

    Raises:
        UserError: the case has no mask, or one on another grid.
    """
    if case.fractures is None:
        raise UserError(
            f"{case.case_id}: no fracture mask, so nothing to score against. Name one in the "
            "column 'fractures' of the manifest, or take the case out of the split."
        )
    truth = read_labels(case.fractures)
    check_same_geometry(ct.geometry, truth.geometry, str(case.ct), str(case.fractures))
    return truth.array


def instance_voxels(instances: np.ndarray) -> np.ndarray:
    """Voxels of each id, int64 [highest id + 1], counted slab by slab; of id 0 as well."""
    counts = np.zeros(int(instances.max(initial=0)) + 1, np.int64)
    for slab in instances:
        counts += np.bincount(slab.ravel(), minlength=len(counts))
    return counts


_SPEC = {"across_slices": TRUTH, "pattern": TEXT}
_DRAWN = {
    "vertebrae": Maybe([{"fracture": Maybe(_SPEC), "instances": [whole(0)]}]),
    "fractures": Maybe([{"spec": Maybe(_SPEC), "instances": [whole(0)]}]),
}


def known_grades(case: Case) -> dict[str, int]:
    """Genant grade by level, 0 to 3; empty where the case names no table that grades it."""
    try:
        return {} if case.grades is None else grades_of(case, case.grades)
    except UserError as error:  # grades only sort a table: no reason to give up an evaluation
        logging.warning("%s: taken as not graded: %s", case.case_id, error)
        return {}


def known_patterns(case: Case) -> dict[int, str]:
    """How each instance of a synthetic case breaks; empty for any other case.

    The generators of phantoms and of virtual fractures leave `facts.json` beside the mask. Of its
    facts the pattern is taken ("endplate", "split", "burst"), or "across slices" for a ribbon that
    shows in any one sagittal slice as a fleck like many others, and as a fracture only across them.
    """
    if case.fractures is None:
        return {}
    try:
        facts = read_checked(Path(case.fractures).with_name(FACTS), _DRAWN)
    except UserError as error:  # as with grades
        logging.warning("%s: taken as of no known pattern: %s", case.case_id, error)
        return {}
    if facts is None:
        return {}
    drawn = [(v.get("fracture"), v["instances"]) for v in facts.get("vertebrae") or ()]
    drawn += [(f.get("spec"), f["instances"]) for f in facts.get("fractures") or ()]
    return {
        int(instance): ACROSS_SLICES if spec["across_slices"] else spec["pattern"]
        for spec, instances in drawn
        if spec is not None
        for instance in instances
    }
