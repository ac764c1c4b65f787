"""How a config is planned: what the data and the device decide, one rule after the other.

From nnU-Net (Isensee et al., 2021; version 2) are taken: that a data set is described by a
fingerprint and planned by fixed rules of a few lines, with no search; the median of the data's own
voxels as the spacing; that a batch gets what memory is left, and sees at most 5 % of the data; 8 GB
where a device does not say what it has; and 32 channels at the finest scale. What is ours: crops of
one vertebra, so that the side of a crop follows from the bones and not from the memory; cubic
voxels and crops, so that one model sees several planes; windows of slices in mm; and that on a CPU,
where time runs out before memory, less is planned. The windows of Hounsfield units stay those of
the recipe: CT has a unit, and needs no statistics of intensities.

The numbers in capitals are those of the recipes that were made by hand (`configs/`) for CPUs, and
were tried there. The larger ones for other devices (96 voxels, 32 channels, 16 runs) are within
what nnU-Net takes; no training of ours stands behind them yet.

References:
    Isensee, Jaeger, Kohl, Petersen, Maier-Hein, 2021, Nature Methods 18:203: nnU-Net.
"""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from vfseg.audit.overview import Overview
from vfseg.config.derive import changed
from vfseg.crops.training_range import MOST_STEPS
from vfseg.data.attribution import SHOWN_MARGIN_MM
from vfseg.data.body_sizes import BODY_MM
from vfseg.data.settings import PLANE_AXES
from vfseg.errors import UserError
from vfseg.training.estimate import step_bytes
from vfseg.training.settings import StageSettings
from vfseg.training.stages import share_out

CPU_SIDE, SIDE = 48, 96
"""Voxels along a crop at most, on a CPU and on other devices, unless lesions would be lost."""
SPACING_STEP_MM = 0.05
READ_PLANES = ("sagittal", "coronal")
"""Planes in which a vertebral fracture is read, best first. Sheets lie nearly in the axial plane:
there a prototype had half of the Dice."""
SPAN_MM = 5.0
"""From the first to the last slice of a window: five slices 1.25 mm apart."""
CPU_CHANNELS, CHANNELS, FEWEST_CHANNELS = 16, 32, 8
"""At the finest scale. With eight, one training of three never found a fracture."""
FEWEST_RUNS, MOST_RUNS = 4, 16
"""Of a batch."""
MOST_OF_DATA = 0.05
"""That a batch sees."""
USED = 0.5
"""Of a device's memory: the rest is for what an estimate does not know."""
PASSES = 2.7
"""Times that a training sees each slice of the crops, in each plane."""
FEWEST_STEPS, MOST_STEPS_IN_ALL = 1000, 20000
"""Of all stages: about what the quickstart takes; about two hours of one CPU core."""
STEPS_STEP = 50


class Machine(NamedTuple):
    """What trains.

    Attributes:
        kind: "cpu", "gpu", ...
        devices: that share a batch; 1 for a CPU.
        memory_bytes: of one.
    """

    kind: str
    devices: int
    memory_bytes: float

    @property
    def words(self) -> str:
        """In words."""
        return f"{self.devices} x {self.kind}, {self.memory_bytes / 1e9:.3g} GB each"


class Ruling(NamedTuple):
    """What a rule says.

    Attributes:
        values: dotted key -> value.
        reason: why, with the figures that it follows from.
    """

    values: Mapping[str, Any]
    reason: str


def voxel_spacing(data: Overview, machine: Machine, config: ConfigDict) -> Ruling:
    """That of the data, unless crops get too many voxels; then coarser, up to a lesion's sheet."""
    del config
    side, most = crop_mm(data), CPU_SIDE if machine.kind == "cpu" else SIDE
    coarser = min(side / most, data.thickness_mm)
    spacing = _up(max(data.cube_mm, coarser), SPACING_STEP_MM)
    reason = f"The median voxel of the CTs has the volume of a cube of {data.cube_mm:.2g} mm"
    if coarser <= data.cube_mm:
        reason += "; finer voxels would show no more."
    elif coarser < side / most:
        reason += (
            f". Coarser are faster, but lesions are {data.thickness_mm:.2g} mm thick (median), "
            "and sheets thinner than a voxel are lost."
        )
    else:
        reason += (
            f"; {side:.0f} mm of crop are to have at most {most} voxels on a {machine.kind}, and "
            f"lesions, {data.thickness_mm:.2g} mm thick (median), stay thicker than a voxel."
        )
    return Ruling({"prepare.voxel_spacing": round(spacing, 2)}, reason)


def crop_shape(data: Overview, machine: Machine, config: ConfigDict) -> Ruling:
    """A cube around the middle of a body that holds body, lesions and a margin."""
    del machine
    side, factor = crop_mm(data), 2 ** (len(config.generator.features) - 1)
    size = int(_up(side / config.prepare.voxel_spacing, factor))
    reason = (
        f"Around the middle of a body: {_half_body(data):.0f} mm to the side of the widest usual "
        f"one, or the {data.reach_mm:.0f} mm within which lesions lie (95 %), whichever is more, "
        f"and {SHOWN_MARGIN_MM:.0f} mm within which a map shows what it finds: {side:.0f} mm, "
        f"rounded up to a multiple of {factor} voxels (the network halves "
        f"{len(config.generator.features) - 1} times)."
    )
    return Ruling({"prepare.crop_shape": (size,) * 3}, reason)


def planes(data: Overview, machine: Machine, config: ConfigDict) -> Ruling:
    """Those in which fractures are read, where slices are close enough for a reformat."""
    del machine
    limit = MOST_STEPS * config.prepare.voxel_spacing
    widest = {plane: _widest_within(data, plane) for plane in PLANE_AXES}
    chosen = tuple(plane for plane in READ_PLANES if widest[plane] < limit)
    spacing = " x ".join(f"{mm:.3g}" for mm in data.voxel_spacing)
    if chosen:
        reason = (
            "Fractures are read in sagittal and coronal slices, and voxels of "
            f"{spacing} mm are close enough ({limit:.3g} mm) to see them in these."
        )
    else:
        chosen = (min(PLANE_AXES, key=lambda plane: widest[plane]),)
        reason = (
            f"With voxels of {spacing} mm more than half of a sagittal or coronal slice would be "
            f"interpolated (from {limit:.3g} mm on)."
        )
    return Ruling({"windows.planes": chosen}, reason)


def window(data: Overview, machine: Machine, config: ConfigDict) -> Ruling:
    """Slices that span some mm, and no less than two steps of the CT's own slices."""
    del machine
    spacing = config.prepare.voxel_spacing
    own = max(data.voxel_spacing[PLANE_AXES[plane]] for plane in config.windows.planes)
    span = max(SPAN_MM, 2 * own)
    stride = max(1, round(span / 4 / spacing))
    length = 1 + 2 * max(1, round(span / 2 / (stride * spacing)))
    reason = (
        f"Neighbours are to span {span:.3g} mm: {SPAN_MM:g}, and no less than two steps of the "
        f"CT's own slices, {own:.3g} mm apart."
    )
    values = {"windows.length": length, "windows.stride_mm": round(stride * spacing, 2)}
    return Ruling(values, reason)


def channels(data: Overview, machine: Machine, config: ConfigDict) -> Ruling:
    """As many as are of use, or fit into the memory with the smallest batch."""
    del data
    scales, first = len(config.generator.features), _most_channels(machine)
    while first > FEWEST_CHANNELS and not _fits(machine, config, first, _fewest_runs(machine)):
        first //= 2
    if not _fits(machine, config, first, _fewest_runs(machine)):
        raise UserError(
            f"{machine.words}: too little memory for a batch of {_fewest_runs(machine)} runs of "
            f"{config.prepare.crop_shape[0]} x {config.prepare.crop_shape[1]} pixels. Take a "
            "device with more, or set a coarser --config.prepare.voxel_spacing."
        )
    reason = (
        f"On a {machine.kind} {_most_channels(machine)} at the finest scale, or what fits into "
        f"half of {machine.memory_bytes / 1e9:.3g} GB with the smallest batch; doubled with every "
        "scale."
    )
    values = {
        "generator.features": tuple(first * 2**scale for scale in range(scales)),
        "generator.recurrent_features": 2 * first,
    }
    return Ruling(values, reason)


def batch(data: Overview, machine: Machine, config: ConfigDict) -> Ruling:
    """On a CPU the smallest; elsewhere what memory, data and number of devices allow."""
    fewest, first = _fewest_runs(machine), config.generator.features[0]
    runs = data.training_vertebrae * config.prepare.crop_shape[0] / config.windows.targets
    most = 0.0 if machine.kind == "cpu" else min(MOST_RUNS, MOST_OF_DATA * runs)
    size = fewest
    while size + machine.devices <= most and _fits(machine, config, first, size + machine.devices):
        size += machine.devices
    if machine.kind == "cpu":
        reason = f"On a cpu a step takes as long as its batch is large: {size} runs of slices."
    else:
        reason = (
            f"{FEWEST_RUNS} to {MOST_RUNS} runs of slices, a multiple of {machine.devices} "
            f"({machine.kind}), as many as fit into half of the memory, and at most "
            f"{MOST_OF_DATA:.0%} of the slices to train on."
        )
    return Ruling({"windows.batch_size": size}, reason)


def stages(data: Overview, machine: Machine, config: ConfigDict) -> Ruling:
    """So many steps that each slice is seen a few times, shared out as the recipe does."""
    del machine
    slices = data.training_vertebrae * config.prepare.crop_shape[0]
    seen = PASSES * slices * len(config.windows.planes)
    wanted = seen / (config.windows.batch_size * config.windows.targets)
    total = round(min(max(wanted, FEWEST_STEPS), MOST_STEPS_IN_ALL) / STEPS_STEP) * STEPS_STEP
    reason = (
        f"{data.training_vertebrae} crops of {config.prepare.crop_shape[0]} slices in each of "
        f"{len(config.windows.planes)} planes, each seen {PASSES:g} times: {wanted:.0f} steps; "
        f"{FEWEST_STEPS} to {MOST_STEPS_IN_ALL}, shared out among the stages as in the recipe."
    )
    steps = share_out(total, StageSettings(**config.stages.to_dict()))
    values = {f"stages.{name}": n for name, n in steps.items()}
    return Ruling({**values, "train.validate_every": math.ceil(total / 2)}, reason)


Rule = Callable[[Overview, Machine, ConfigDict], Ruling]

RULES: tuple[Rule, ...] = (voxel_spacing, crop_shape, planes, window, channels, batch, stages)
"""In their order: each sees in the config what those before it decided."""


def plan(
    data: Overview, machine: Machine, config: ConfigDict, given: Collection[str]
) -> list[Ruling]:
    """What the rules say, each in view of what was said before.

    Args:
        data: the fingerprint of the data set.
        machine: what trains.
        config: the recipe, with what the user gave.
        given: dotted keys that the user gave, which stay; rules see them.

    Raises:
        UserError: the smallest training does not fit into the memory.
    """
    rulings = []
    for rule in RULES:
        said = rule(data, machine, config)
        values = {key: value for key, value in said.values.items() if key not in given}
        config = changed(config, values)
        if values:
            rulings.append(said._replace(values=values))
    return rulings


def crop_mm(data: Overview) -> float:
    """Side of the cube that a crop is to hold, mm."""
    return 2 * (max(_half_body(data), data.reach_mm) + SHOWN_MARGIN_MM)


def _half_body(data: Overview) -> float:
    return max(max(BODY_MM[level]) for level in data.levels) / 2


def _widest_within(data: Overview, plane: str) -> float:
    """The larger distance in mm between the CT's own voxels within a slice of a plane."""
    return max(mm for axis, mm in enumerate(data.voxel_spacing) if axis != PLANE_AXES[plane])


def _most_channels(machine: Machine) -> int:
    return CPU_CHANNELS if machine.kind == "cpu" else CHANNELS


def _fewest_runs(machine: Machine) -> int:
    return int(_up(FEWEST_RUNS, machine.devices))


def _fits(machine: Machine, config: ConfigDict, first: int, runs: int) -> bool:
    """Whether a batch fits into the part of a device's memory that is planned with."""
    needed = step_bytes(
        runs / machine.devices,
        slices=_run_slices(config),
        pixels=config.prepare.crop_shape[0] * config.prepare.crop_shape[1],
        features=first,
    )
    return needed <= USED * machine.memory_bytes


def _run_slices(config: ConfigDict) -> int:
    """Slices of a run, as `vfseg.crops.windows.run_slices` takes them."""
    windows = config.windows
    stride = max(1, round(windows.stride_mm / config.prepare.voxel_spacing))
    if windows.targets == 1:
        return windows.length
    return windows.targets + (windows.length - 1) * stride


def _up(value: float, step: float) -> float:
    """The next multiple of a step; itself where it is one."""
    return math.ceil(value / step - 1e-6) * step
