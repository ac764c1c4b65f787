"""What lies in a painted case: the bones of a label map in place, and how they are broken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vfseg.synthesis.painted.rigid import STILL, settle
from vfseg.synthesis.painted.shape import PlacedBone
from vfseg.synthesis.painted.source import Source, SourceBone
from vfseg.synthesis.phantom.fractures import Fracture, FractureSpec, draw_fracture
from vfseg.synthesis.phantom.shapes import Frame
from vfseg.synthesis.phantom.spine import (
    SPINE,
    Patient,
    PlacedVertebra,
    turned_axes,
    usual_disc,
    usual_size,
)

_SACRAL_TILT = -19.0  # degrees of the sacrum against L5


@dataclass(frozen=True, eq=False)
class Scene:
    """A spine to be painted.

    Attributes:
        bones: cranial to caudal.
        fractures: level -> its fracture or old deformity.
    """

    bones: Sequence[PlacedBone]
    fractures: Mapping[str, Fracture]

    @property
    def spine(self) -> list[PlacedVertebra]:
        """Its bodies, as far as they are measured or the phantom's."""
        return [bone.vertebra for bone in self.bones if bone.vertebra is not None]


def draw_scene(
    rng: np.random.Generator,
    source: Source,
    specs: Mapping[str, FractureSpec | None],
    patient: Patient,
) -> Scene:
    """Draws the fractures, and lets the spine settle over them.

    Where the spine goes on beyond the last labelled vertebra, the next one of the phantom stands in
    for what the map does not show.

    Args:
        rng: of the fractures.
        source: the label map.
        specs: level -> what is asked for.
        patient: whose bone it is.
    """
    fractures: dict[str, Fracture] = {}
    settlings: list[tuple[float, float] | None] = []
    for bone in source.bones:
        spec = specs.get(bone.name)
        if spec is None or bone.size is None:
            settlings.append(None)
            continue
        fracture = draw_fracture(rng, spec, bone.size, patient.trabecular)
        fractures[bone.name] = fracture
        settlings.append(fracture.settling(bone.size))
    moves = settle([bone.frame for bone in source.bones], settlings)
    bones = [
        PlacedBone(bone, moved, _placed(bone, moved.frame(bone.frame)))
        for bone, moved in zip(source.bones, moves)
    ]
    first, last = bones[0].vertebra, bones[-1].vertebra
    if first is not None and not source.ends[1]:
        bones.insert(0, PlacedBone(None, STILL, _stand_in(first, -1)))
    if last is not None and not source.ends[0]:
        bones.append(PlacedBone(None, STILL, _stand_in(last, 1)))
    return Scene(bones, fractures)


def _placed(bone: SourceBone, frame: Frame) -> PlacedVertebra | None:
    return PlacedVertebra(bone.name, bone.size, frame) if bone.size is not None else None


def _stand_in(end: PlacedVertebra, step: int) -> PlacedVertebra:
    """The phantom's next vertebra above (-1) or below (1) the last one of a label map."""
    level = SPINE[SPINE.index(end.level) + step]
    usual = usual_size(level)
    scale = end.size.width / usual_size(end.level).width
    size = replace(
        usual,
        height=scale * usual.height,
        depth=scale * usual.depth,
        width=scale * usual.width,
        concavity=(1.5, 1.5),
    )
    disc = scale * usual_disc(end.level if step < 0 else level)
    axes = end.frame.axes
    if level == "S1":
        axes = turned_axes(_SACRAL_TILT, 0, 0) @ axes
    between = axes[0] + end.frame.axes[0]
    shift = (
        end.frame.axes[0] * end.size.height / 2
        + between / np.linalg.norm(between) * disc
        + axes[0] * size.height / 2
    )
    return PlacedVertebra(level, size, Frame(end.frame.centre - step * shift, axes))
