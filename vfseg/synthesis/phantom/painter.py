"""Painting bones one after the other into the CT, the label map and the fracture mask of a case."""

import numpy as np

from vfseg.data.box import Box, shape_of, within
from vfseg.synthesis.phantom.fractures import Fracture
from vfseg.synthesis.phantom.lookalikes import LookAlikes, draw_lookalikes
from vfseg.synthesis.phantom.scanner import filter_axis
from vfseg.synthesis.phantom.shapes import Grid, coverage, ramp
from vfseg.synthesis.phantom.sheets import Sheet, UprightSheet
from vfseg.synthesis.phantom.spine import Patient, PlacedVertebra
from vfseg.synthesis.phantom.substance import Substance, draw_substance
from vfseg.synthesis.phantom.vertebra import (
    BodyShape,
    Bone,
    carve,
    posterior_rods,
    rib_rods,
    sacral_rods,
    seat_spurs,
    shape_body,
    shape_bone,
    shape_rods,
)

_TILE = 64
_BLOOD = 35.0


class Painter:
    """The volumes of a case while its bones are drawn, cranial to caudal.

    Attributes:
        hu: float32 `d h w`, painted in place.
        labels: uint8, vertebra ids.
        mask: uint8, fracture instances.
        patient: whose bones they are.
    """

    def __init__(
        self, grid: Grid, hu: np.ndarray, patient: Patient, rng: np.random.Generator, flecks: bool
    ):
        self.hu = hu
        self.labels = np.zeros(grid.shape, np.uint8)
        self.mask = np.zeros(grid.shape, np.uint8)
        self._grid = grid
        self.patient = patient
        self._rng = rng
        self._flecks = flecks
        self._instances = 0
        self._bones: list[Bone] = []
        self._tile = _trabecular_tile(rng, grid.spacing, patient.look.coarseness)

    def vertebra(
        self,
        vertebra: PlacedVertebra,
        label: int,
        fracture: Fracture | None,
        rng: np.random.Generator,
    ) -> tuple[tuple[int, ...], tuple[str, ...], float]:
        """Paints a vertebra.

        Args:
            vertebra: size and place.
            label: its id; 0 leaves it (a neighbour at the edge) without label.
            fracture: its fracture or old deformity; None where it is whole.
            rng: shapes of its processes and its look-alikes.

        Returns:
            Ids of its fracture instances, names of its look-alikes, HU of its trabecular bone.
        """
        size = vertebra.size
        healed = fracture is not None and not fracture.spec.acute
        extras = draw_lookalikes(rng, size, self.patient, healed, self._flecks)
        sacrum = vertebra.level == "S1"
        rods = sacral_rods(size) if sacrum else posterior_rods(rng, vertebra.level, size)
        substance = draw_substance(rng, self.patient, size, fracture)

        body = shape_body(self._grid, vertebra, fracture, extras)
        if body is None:
            return (), extras.names, substance.density
        rods += seat_spurs(extras.spurs, size, fracture)
        bone = shape_bone(self._grid, vertebra, body, rods, substance.cortex)
        instances = self.shaped(body, bone, label, fracture, extras, substance)
        return instances, extras.names, substance.density

    def shaped(
        self,
        body: BodyShape,
        bone: Bone,
        label: int,
        fracture: Fracture | None,
        extras: LookAlikes,
        substance: Substance,
    ) -> tuple[int, ...]:
        """Paints a vertebra whose shape is given.

        Args:
            body: with the fracture in it.
            bone: the whole vertebra, in a box that holds that of the body; changed in place where
                it touches the bones before it.
            label: its id; 0 leaves it without label.
            fracture: its fracture or old deformity; None where it is whole.
            extras: its look-alikes; those that change the shape are in it already.
            substance: what it is made of.

        Returns:
            Ids of its fracture instances.
        """
        density, patches, roughness = (
            substance.density, substance.patches, substance.cortex.roughness,
        )  # fmt: skip
        carve(bone, self._bones[-2:], 1.0)
        self._bones.append(bone)

        inner = within(body.box, bone.box)
        spongy = self._spongiosa(bone.box, density)
        shell = self.patient.look.shell + 2.0 * (spongy - np.float32(density))
        spongy *= 1.3
        inside = spongy[inner]  # a view: the body is less dense than the arch, and has more in it
        inside *= 1 + ramp(body.distance, 1, -2) * (0.2 * patches.at(*body.local) - 0.3 / 1.3)
        extras.paint(inside, body.local, body.below_top, body.above_bottom, self._grid.width)
        shell[inner] *= 1 + ramp(body.distance, 4, 0) * (0.1 * roughness.at(*body.local) - 0.2)
        instances = self._break(body, fracture, inside, shell[inner])
        self._fill(bone, spongy, shell)
        for vein in extras.veins:
            part = self._grid.box(body.frame.to_patient(vein.ends), vein.reach + 1.5)
            if part is not None:
                view = self.hu[part]
                cover = coverage(
                    vein.distance(self._grid.local(part, body.frame)), self._grid.width
                )
                view += cover * np.minimum(_BLOOD - view, 0)
        if label:
            view = self.labels[bone.box]
            view[(bone.distance < 0) & (view == 0)] = label
        return instances

    def plain(self, bone: Bone, label: int) -> None:
        """Paints a bone of whose parts nothing is known; arguments as in `shaped`."""
        carve(bone, self._bones[-2:], 1.0)
        self._bones.append(bone)
        density = self.patient.trabecular
        spongy = self._spongiosa(bone.box, density)
        self._fill(bone, spongy, self.patient.look.shell + 2.0 * (spongy - np.float32(density)))
        if label:
            view = self.labels[bone.box]
            view[(bone.distance < 0) & (view == 0)] = label

    def ribs(self, vertebra: PlacedVertebra, rng: np.random.Generator) -> None:
        """Paints the two ribs of a thoracic vertebra; they carry no label."""
        for rods in rib_rods(rng, vertebra.level, vertebra.size):
            bone = shape_rods(self._grid, vertebra.frame, rods, 0.6 + 0.5 * self.patient.cortex)
            if bone is not None:
                carve(bone, self._bones, 1.0)
                spongy = self._spongiosa(bone.box, 0.9 * self.patient.trabecular)
                self._fill(bone, spongy, np.float32(950))

    def _break(
        self, body: BodyShape, fracture: Fracture | None, inside: np.ndarray, shell: np.ndarray
    ) -> tuple[int, ...]:
        """Paints the sheets of a fracture into the bone and, numbered, into the mask."""
        if fracture is None:
            return ()
        up, front, right = body.local
        mask = self.mask[body.box]
        instances = []
        sheets: tuple[Sheet | UprightSheet, ...] = (*fracture.sheets, *fracture.upright)
        for sheet in sheets:
            plate = body.top if sheet.side > 0 else body.bottom
            cover = sheet.cover(up, front, right, plate, self._grid.width)
            strength = sheet.strength(front, right)
            if sheet.gap:
                inside += cover * (strength - inside)
                shell += 0.7 * cover * (strength - shell)
            else:
                inside += cover * strength
            found = (cover >= 0.5) & (body.distance < 0) & (mask == 0)
            if found.any():
                self._instances += 1
                mask[found] = self._instances
                instances.append(self._instances)
        return tuple(instances)

    def _spongiosa(self, box: Box, density: float) -> np.ndarray:
        """Trabecular bone: mean HU, and a grain that runs along the spine."""
        starts = self._rng.integers(0, _TILE, 3)
        index = np.ix_(*((start + np.arange(n)) % _TILE for start, n in zip(starts, shape_of(box))))
        grain = self.patient.look.grain * (14 + 0.19 * density)
        return np.float32(density) + np.float32(grain) * self._tile[index]

    def _fill(self, bone: Bone, spongy: np.ndarray, shell: np.ndarray | np.floating) -> None:
        width = self._grid.width
        outer = coverage(bone.distance, width)
        core = coverage(bone.distance + bone.cortex, width)
        view = self.hu[bone.box]
        view += outer * (shell - view) + core * (spongy - shell)


def _trabecular_tile(
    rng: np.random.Generator, spacing: np.ndarray, coarseness: float
) -> np.ndarray:
    """Correlated noise of SD 1 on a cube that wraps, longer along d than across."""
    tile = rng.standard_normal((_TILE, _TILE, _TILE), np.float32)
    for axis, usual in enumerate((1.6, 0.62, 0.62)):
        correlation = coarseness * usual
        reach = np.arange(1 + int(np.ceil(2.5 * correlation / spacing[axis])))
        taps = np.exp(-0.5 * np.square(reach * spacing[axis] / correlation))
        tile = filter_axis(tile, taps, axis)
    return tile / tile.std()
