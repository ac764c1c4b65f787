"""A virtual fracture in a real CT: the body collapses, and its signs are painted."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from vfseg.data.anatomy import LabelReading, read_vertebrae
from vfseg.data.box import triple
from vfseg.data.grades import genant_grade
from vfseg.data.instances import instances_as_uint8
from vfseg.data.volume import Volume
from vfseg.errors import UserError
from vfseg.synthesis.phantom.fractures import Fracture, FractureSpec, draw_fracture
from vfseg.synthesis.phantom.shapes import Local
from vfseg.synthesis.phantom.sheets import Sheet
from vfseg.synthesis.phantom.spine import Size
from vfseg.synthesis.seeds import fresh
from vfseg.synthesis.virtual_fractures.body import size_of, voxel_grid
from vfseg.synthesis.virtual_fractures.collapse import Collapse, collapse
from vfseg.synthesis.virtual_fractures.render import (
    disc_hu,
    fresh_noise,
    measure_noise,
    paint_sheet,
    seen_bone,
    warp_ct,
)
from vfseg.synthesis.virtual_fractures.site import (
    LabelledCT,
    Site,
    box_around,
    open_site,
    pasted,
)

THICKEST_MM = 3.0
CONDENSATION_HU = (100.0, 250.0)


@dataclass(frozen=True)
class FractureFacts:
    """What was done to one vertebra.

    Attributes:
        level, label: "L1" and its id in the label map.
        spec: what was asked for.
        instances: ids in the fracture mask.
        heights_before, heights_after: anterior, middle, posterior height of the body, mm.
        largest_shift: of any voxel, mm.
        trabecular: HU of its trabecular bone before.
        noise_sd: of the CT around it, HU.
        start, stop: half-open box of canonical voxels outside of which nothing changed.
    """

    level: str
    label: int
    spec: FractureSpec
    instances: tuple[int, ...]
    heights_before: tuple[float, float, float]
    heights_after: tuple[float, float, float]
    largest_shift: float
    trabecular: float
    noise_sd: float
    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def height_loss(self) -> float:
        """Largest fraction of a height that was lost."""
        after, before = np.array(self.heights_after), np.array(self.heights_before)
        return float(np.max(1 - after / before))

    @property
    def grade(self) -> int:
        """Genant grade, 0 to 3, by the height that was lost: a thin body loses less than asked."""
        return genant_grade(self.height_loss)


def fracture_vertebra(
    scan: LabelledCT,
    level: str,
    spec: FractureSpec,
    seed: int | np.random.SeedSequence,
    *,
    reading: LabelReading | None = None,
) -> tuple[LabelledCT, FractureFacts]:
    """Breaks one vertebra of a real CT.

    The body loses height along its own axis; the disc follows the endplate that gives way. Arch,
    processes and neighbours stay as they are to the bit: the disc becomes as much higher as the
    body becomes lower. Voxels further from the body than a voxel, in front `FRONT_MM`, are
    untouched.

    Args:
        scan: the CT with its label map; fractures that are there move along and keep their ids.
        level: "T4" to "L5"; see `breakable_levels`.
        spec: what is asked for; `acute=False` leaves a deformity without sheet.
        seed: of the shape, the sheets and the noise.
        reading: of the labels, where it is known already.

    Returns:
        The CT with the fracture, its mask as uint8, and what was done.

    Raises:
        UserError: volumes that do not lie on one grid, a level that is absent or cannot be
            broken, a body that cannot be found.
    """
    reading = reading or read_vertebrae(scan.labels, None, "the label map")
    site = open_site(scan, level, reading)
    shape_rng, noise_rng = map(np.random.default_rng, fresh(seed).spawn(2))
    size = size_of(level, site.body)
    fracture = draw_in_body(shape_rng, spec, size, site.trabecular, site.width)
    return break_body(scan, site, fracture, noise_rng)


def draw_in_body(
    rng: np.random.Generator,
    spec: FractureSpec,
    size: Size,
    trabecular: float,
    width: float,
) -> Fracture:
    """The phantom's fracture for a body of this size, its sheets within what radiologists label.

    A condensed sheet thinner than a voxel (`width` mm along the axis) shows only in part; it is
    made dense enough for the CT to show the least of `CONDENSATION_HU`.
    """
    fracture = draw_fracture(rng, spec, size, trabecular)
    remaining = size.height * (1 - spec.height_loss)

    def fitted(sheet: Sheet) -> Sheet:
        thickness = min(sheet.thickness, THICKEST_MM)
        hounsfield = float(rng.uniform(*CONDENSATION_HU))
        hounsfield = max(hounsfield, CONDENSATION_HU[0] * max(width / thickness, 1.0))
        if sheet.gap:
            hounsfield = sheet.hounsfield
        return replace(
            sheet,
            thickness=thickness,
            depth=min(sheet.depth, 0.45 * remaining),
            hounsfield=hounsfield,
        )

    return replace(fracture, sheets=tuple(fitted(sheet) for sheet in fracture.sheets))


def break_body(
    scan: LabelledCT, site: Site, fracture: Fracture, rng: np.random.Generator
) -> tuple[LabelledCT, FractureFacts]:
    """Lets a body collapse, and paints the signs of its fracture; `rng` is of the noise."""
    ct, labels, masks = scan.ct, scan.labels, np.zeros(scan.ct.shape, np.uint8)
    if scan.fractures is not None:
        masks = instances_as_uint8(scan.fractures.array, "the fracture mask")
    vertebra, body, spacing = site.vertebra, site.body, ct.voxel_spacing
    fallen = collapse(body, fracture, site.around, site.halo)
    box = box_around(ct, site)
    local = voxel_grid(ct).local(box, body.frame)
    rise, forth, opened = fallen.backward(local, site.width)
    fixed = np.isin(labels.array[box], site.others)
    moved = ((rise != 0) | (forth != 0)) & ~fixed
    # Only where bone was seen: under an overhanging rim there may be lung.
    opened = np.where(fixed, 0, opened) * seen_bone(
        labels.array[box] == vertebra.label, spacing, site.halo
    )
    source = [
        places + (rise[moved] * np.float32(body.frame.axes[0, axis])
                  + forth[moved] * np.float32(body.frame.axes[1, axis])) / np.float32(spacing[axis])
        for axis, places in enumerate(np.nonzero(moved))
    ]  # fmt: skip

    old = ct.array[box]
    noise = measure_noise(old, ~ndimage.binary_dilation(labels.array[box] != 0))
    fresh = fresh_noise(old.shape, noise, rng)
    hu = old.astype(np.float32)
    new_labels, new_masks = labels.array[box].copy(), masks[box].copy()
    if moved.any():
        hu[moved] = warp_ct(old, source, noise, fresh[moved])
        nearest = tuple(
            np.clip(np.rint(s), 0, n - 1).astype(np.int32) for s, n in zip(source, old.shape)
        )
        new_labels[moved], new_masks[moved] = new_labels[nearest], new_masks[nearest]
    hu += opened * (disc_hu(old, labels.array[box] == 0, local, body) + fresh - hu)
    gone = (opened >= 0.5) & (new_labels == vertebra.label)
    new_labels[gone], new_masks[gone] = 0, 0

    bone = new_labels == vertebra.label
    instances = []
    highest = int(masks.max())
    painted = hu.copy()
    _raise_density(painted, fracture, local, fallen, bone)
    for sheet in fracture.sheets:
        found = paint_sheet(painted, sheet, local, fallen, bone, site.width) & (new_masks == 0)
        if found.any():
            highest += 1
            if highest > 255:
                raise UserError("more than 255 fracture instances in one CT. Ask for fewer.")
            new_masks[found] = highest
            instances.append(highest)
    changed = (moved | (opened > 0) | (painted != hu)) & ~fixed
    low, high = int(ct.array.min()), int(ct.array.max())
    result = np.where(changed, np.clip(np.rint(painted), low, high), old).astype(np.int16)

    ends = [np.flatnonzero(changed.any(axis=tuple({0, 1, 2} - {a}))) for a in range(3)]
    start = triple(part.start + e[0] if e.size else 0 for part, e in zip(box, ends))
    stop = triple(part.start + e[-1] + 1 if e.size else 0 for part, e in zip(box, ends))
    facts = FractureFacts(
        vertebra.level, vertebra.label, fracture.spec, tuple(instances),
        tuple(body.heights().tolist()), tuple(fallen.heights().tolist()),
        float(np.abs(rise).max()), site.trabecular, noise.sd, start, stop,
    )  # fmt: skip
    whole = LabelledCT(ct, labels, Volume(masks, ct.geometry))
    return pasted(whole, box, result, new_labels, new_masks), facts


def _raise_density(
    hu: np.ndarray, fracture: Fracture, local: Local, fallen: Collapse, bone: np.ndarray
) -> None:
    """Oedema and compacted bone: fresh bone under the sunken endplate is a little denser."""
    if not fracture.oedema:
        return
    up, front, _ = local
    body = fallen.body
    weight = ndimage.gaussian_filter(bone.astype(np.float32), 1.0) * bone
    weight = weight * (front > -body.depth / 2) * np.exp(-np.abs(up - body.top.max()) / 15)
    hu += np.float32(fracture.oedema) * weight
