"""The spine of a label map, ready to be painted: its bones, and how much is known of each."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vfseg.data.anatomy import LabelReading, read_vertebrae
from vfseg.data.box import Box, bounding_box, label_boxes, start_of, stop_of
from vfseg.data.levels import Vertebra
from vfseg.data.schemes import LEVELS, SPINE_IDS, VERSE_LABELS
from vfseg.data.volume import Volume
from vfseg.errors import UserError
from vfseg.synthesis.painted.solids import Solid, solid_of
from vfseg.synthesis.phantom.shapes import Frame
from vfseg.synthesis.phantom.spine import Size, usual_size
from vfseg.synthesis.virtual_fractures.body import BodyMap, measure_body, size_of

DEFORMED_LOSS = 0.3
"""A body that is lower than its level and its neighbours let expect by this fraction, at its front,
middle or back, is taken for a broken one, whether or not a table of grades says so."""

_ABOVE = ("T3", "T2")  # as far as a field of view around T4 goes
_BELOW = ("L6", "S1", "sacrum")


@dataclass(frozen=True, eq=False)
class SourceBone:
    """One bone of a label map, in millimetres from its voxel (0, 0, 0) along d, h, w.

    Attributes:
        name: such as "L1", "T3" or "sacrum".
        label: its VerSe id; 0 where the painted map must not show it.
        solid: its surface.
        frame: of its body; where no body was measured, upright in the middle of the bone.
        body: measured body, None where it is cut, a fragment, or not of T4 to L5.
        size: of the body, for the phantom's parts; None with it.
        deformed: whether it has a deformity of its own.
    """

    name: str
    label: int
    solid: Solid
    frame: Frame
    body: BodyMap | None
    size: Size | None
    deformed: bool


@dataclass(frozen=True, eq=False)
class Source:
    """A label map.

    Attributes:
        volume: the map.
        bones: cranial to caudal, one level after the other.
        ends: whether the border of the map cuts the spine (caudally, cranially).
        left_out: level -> why the painted maps do not show it.
    """

    volume: Volume
    bones: tuple[SourceBone, ...]
    ends: tuple[bool, bool]
    left_out: Mapping[str, str]

    @property
    def whole(self) -> list[str]:
        """Levels that may be broken, cranial to caudal."""
        return [b.name for b in self.bones if b.body is not None and not b.deformed]


def read_source(labels: Volume, scheme: str | None, grades: Mapping[str, int], name: str) -> Source:
    """Reads a label map.

    A vertebra with a deformity of its own is painted, but is no part of the painted label map: its
    fracture is real and has no mask, so it must count neither as healthy nor as fractured. That is
    a vertebra with a grade above 0, one whose body is much too low (`DEFORMED_LOSS`), and one
    whose body cannot be measured.

    Args:
        labels: the map, of any scheme.
        scheme: its label scheme; None lets the anatomy decide.
        grades: known Genant grades, level -> 0 to 3.
        name: of the map, for messages.

    Raises:
        UserError: it cannot be read, or no two neighbouring vertebrae of T4 to L5 in it are whole.
    """
    reading = read_vertebrae(labels, scheme, name)
    run = _longest_run(reading.vertebrae)
    found = {v.level: _measured(reading.labels, v, run) for v in run}
    bodies = {level: body for level, body in found.items() if isinstance(body, BodyMap)}
    left_out = {level: str(body) for level, body in found.items() if isinstance(body, UserError)}
    left_out |= {
        level: f"{loss:.0%} lower than expected"
        for level, loss in lost_heights(bodies).items()
        if loss >= DEFORMED_LOSS
    }
    left_out |= {
        level: f"Genant grade {grade}"
        for level, grade in grades.items()
        if grade and level in found
    }
    if len(bodies.keys() - left_out.keys()) < 2:
        reasons = "; ".join(f"{level}: {why}" for level, why in left_out.items())
        raise UserError(
            f"{name}: fewer than two whole vertebrae of T4 to L5 in a row, so no CT can be painted "
            f"from it. Leave this label map out. {reasons}".rstrip()
        )
    bones = tuple(_bones(reading, run, bodies, left_out))
    first, last = (_box_of(reading, bone) for bone in (bones[0], bones[-1]))
    ends = start_of(last)[0] == 0, stop_of(first)[0] == labels.shape[0]
    return Source(labels, bones, ends, left_out)


def lost_heights(bodies: Mapping[str, BodyMap]) -> dict[str, float]:
    """Level -> fraction of the expected height that its lowest place lacks, at most 1.

    What is expected is the usual height of the level in the scale of this spine, which is the upper
    quartile of all its bodies: fractures only make bodies lower.
    """
    heights = {level: body.heights() for level, body in bodies.items()}
    ratios = [float(h.max()) / usual_size(level).height for level, h in heights.items()]
    scale = float(np.quantile(ratios, 0.75)) if ratios else 1.0
    return {
        level: 1 - float(h.min()) / (scale * usual_size(level).height)
        for level, h in heights.items()
    }


def _longest_run(vertebrae: Sequence[Vertebra]) -> list[Vertebra]:
    """The longest part of a spine without a missing level."""
    runs: list[list[Vertebra]] = []
    for vertebra in vertebrae:
        place = LEVELS.index(vertebra.level)
        if runs and LEVELS.index(runs[-1][-1].level) == place - 1:
            runs[-1].append(vertebra)
        else:
            runs.append([vertebra])
    return max(runs, key=len)


def _measured(
    labels: Volume, vertebra: Vertebra, run: Sequence[Vertebra]
) -> BodyMap | UserError | None:
    """The body of a vertebra; why it cannot be measured; None where the border cuts it."""
    if vertebra.flags:
        return None
    place = run.index(vertebra)
    above = run[place - 1] if place else None
    below = run[place + 1] if place + 1 < len(run) else None
    try:
        body = measure_body(labels, vertebra, above, below)
        body.heights()
    except UserError as error:
        return error
    return body


def _bones(
    reading: LabelReading,
    run: Sequence[Vertebra],
    bodies: Mapping[str, BodyMap],
    left_out: Mapping[str, str],
) -> Iterator[SourceBone]:
    labels, spacing = reading.labels, reading.labels.voxel_spacing
    boxes = label_boxes(labels.array)
    known = {name: label for label, name in SPINE_IDS[reading.scheme].items() if label in boxes}
    for name in _chain([v.level for v in run], known):
        solid = solid_of(labels.array, known[name], boxes[known[name]], spacing)
        body = bodies.get(name)
        frame = body.frame if body else Frame(solid.corners().mean(0), np.eye(3))
        yield SourceBone(
            name,
            0 if name in left_out else VERSE_LABELS.get(name, 0),
            solid,
            frame,
            body,
            size_of(name, body) if body else None,
            name in left_out,
        )


def _chain(levels: Sequence[str], known: Collection[str]) -> list[str]:
    """The levels with the bones beside and between them that a map holds, cranial to caudal."""
    chain = []
    for level in levels:
        chain.append(level)
        if level == "T12" and "T13" in known:
            chain.append("T13")
    for name in _ABOVE if levels[0] == "T4" else ():
        if name not in known:
            break
        chain.insert(0, name)
    if levels[-1] == "L5":
        chain += [name for name in _BELOW if name in known]
    return chain


def _box_of(reading: LabelReading, bone: SourceBone) -> Box:
    names = SPINE_IDS[reading.scheme]
    label = next(label for label, name in names.items() if name == bone.name)
    return bounding_box(reading.labels.array == label)
