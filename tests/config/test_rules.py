"""Each rule of a plan by itself, from figures; and all of them on the benchmark cohort."""

import pytest

from tests.config.planning import COHORT, CPU, GPU, recipe
from vfseg.config import rules
from vfseg.config.config import read_config
from vfseg.config.derive import changed
from vfseg.data.body_sizes import BODY_MM
from vfseg.errors import UserError
from vfseg.training.stages import STAGES

THICK = (5.0, 0.5, 0.5)
"""An axial stack of 5 mm."""


def value(ruling):
    """The only value of a ruling."""
    (found,) = ruling.values.values()
    return found


def test_the_benchmark_cohort_is_planned_as_it_was_by_hand():
    hand_made = read_config(recipe()).to_dict()
    config = recipe()
    for ruling in rules.plan(COHORT, CPU, config, ()):
        config = changed(config, ruling.values)
    planned = read_config(config).to_dict()
    differ = {section for section in planned if planned[section] != hand_made[section]}
    assert differ == {"stages", "train"}, "the number of steps"
    steps = sum(planned["stages"].values())
    assert steps == pytest.approx(sum(hand_made["stages"].values()), rel=0.02)
    assert planned["train"] | {"validate_every": steps // 2} == (
        hand_made["train"] | {"validate_every": steps // 2}
    )


def test_as_many_passes_as_the_recipe_makes_over_its_cohort():
    config = recipe()
    seen = sum(config.stages.values()) * config.windows.batch_size * config.windows.targets
    slices = COHORT.training_vertebrae * config.prepare.crop_shape[0] * len(config.windows.planes)
    assert pytest.approx(seen / slices, rel=0.02) == rules.PASSES


def test_a_crop_holds_the_widest_body_or_the_lesions_and_a_margin():
    assert rules.crop_mm(COHORT) == BODY_MM["L5"][2] + 2 * 5
    assert rules.crop_mm(COHORT._replace(levels=("T4", "T5"), reach_mm=1)) == 25.5 + 10
    assert rules.crop_mm(COHORT._replace(reach_mm=40.0)) == 90


@pytest.mark.parametrize(
    ("own", "thickness", "machine", "expected", "said"),
    [
        (0.97, 1.6, CPU, 1.25, "60 mm of crop are to have at most 48 voxels on a cpu"),
        (0.97, 1.6, GPU, 1.0, "finer voxels would show no more"),
        (0.4, 1.6, GPU, 0.65, "at most 96 voxels on a gpu"),  # 60 / 96 = 0.625
        (0.4, 0.9, CPU, 0.9, "thinner than a voxel are lost"),
        (2.1, 1.6, CPU, 2.1, "finer voxels would show no more"),
    ],
)
def test_voxels_are_those_of_the_data_within_bounds(own, thickness, machine, expected, said):
    data = COHORT._replace(cube_mm=own, thickness_mm=thickness)
    ruling = rules.voxel_spacing(data, machine, recipe())
    assert value(ruling) == expected
    assert said in ruling.reason


@pytest.mark.parametrize(
    ("spacing", "features", "size"),
    [(1.25, (16, 32, 64, 128), 48), (1.0, (16, 32, 64, 128), 64), (1.0, (16, 32, 64), 60)],
)
def test_a_crop_is_a_multiple_of_what_the_network_halves(spacing, features, size):
    config = recipe(**{"prepare.voxel_spacing": spacing, "generator.features": features})
    assert value(rules.crop_shape(COHORT, CPU, config)) == (size,) * 3


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ((0.98, 0.93, 0.93), ("sagittal", "coronal")),
        ((3.0, 0.5, 0.5), ("sagittal", "coronal")),  # below 2.5 voxels of 1.25 mm
        (THICK, ("axial",)),
        ((0.5, 0.5, 4.0), ("sagittal",)),  # a sagittal stack
        ((4.0, 5.0, 5.0), ("sagittal",)),  # no plane is sharp: the least bad, in any order
    ],
)
def test_planes_are_those_whose_slices_the_ct_resolves(spacing, expected):
    found = value(rules.planes(COHORT._replace(voxel_spacing=spacing), CPU, recipe()))
    if spacing == (4.0, 5.0, 5.0):
        assert len(found) == 1
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("spacing", "own", "planes", "length", "stride_mm"),
    [
        (1.25, (1, 1, 1), ("sagittal", "coronal"), 5, 1.25),
        (0.6, (1, 1, 1), ("sagittal",), 5, 1.2),  # every second slice
        (2.0, (1, 1, 1), ("sagittal",), 3, 2.0),  # 4 mm is nearer to 5 than 8 is
        (1.25, THICK, ("axial",), 5, 2.5),  # 10 mm: two steps of the CT
        (1.25, THICK, ("sagittal",), 5, 1.25),  # across which the CT is fine
    ],
)
def test_a_window_spans_mm_and_slices_of_the_ct(spacing, own, planes, length, stride_mm):
    config = recipe(**{"prepare.voxel_spacing": spacing, "windows.planes": planes})
    found = rules.window(COHORT._replace(voxel_spacing=own), CPU, config).values
    assert found == {"windows.length": length, "windows.stride_mm": stride_mm}


def test_channels_are_as_many_as_the_memory_holds():
    def features(machine):
        return rules.channels(COHORT, machine, recipe()).values["generator.features"]

    assert features(CPU) == (16, 32, 64, 128)
    assert features(GPU) == (32, 64, 128, 256)
    needed = rules.step_bytes(4, slices=8, pixels=48 * 48, features=16)
    assert features(GPU._replace(memory_bytes=2 * needed)) == (16, 32, 64, 128)
    assert features(GPU._replace(memory_bytes=2 * needed - 1)) == (8, 16, 32, 64)
    with pytest.raises(UserError, match="too little memory for a batch of 4 runs of 48 x 48"):
        features(GPU._replace(memory_bytes=needed - 1))


def test_a_batch_is_what_memory_data_and_devices_allow():
    def runs(machine, data=COHORT):
        return value(rules.batch(data, machine, recipe()))

    assert runs(CPU) == 4
    assert runs(GPU) == 16
    assert runs(GPU._replace(devices=3)) == 15, "a multiple of the devices, above 4 and up to 16"
    assert runs(GPU._replace(devices=32)) == 32, "one each"
    ten = rules.step_bytes(10, slices=8, pixels=48 * 48, features=16)
    assert runs(GPU._replace(memory_bytes=2 * ten)) == 10
    # 12 crops of 48 slices are 576, of which 5 % are 28.8: 7 runs of 4 targets.
    assert runs(GPU, COHORT._replace(training_vertebrae=12)) == 7


@pytest.mark.parametrize(
    ("crops", "total"),
    [(24 * 14, 5450), (3, 1000), (10**6, 20000)],  # 2.7 * 336 * 48 * 2 / 16 = 5443
)
def test_steps_follow_from_the_crops_and_stages_keep_their_shares(crops, total):
    found = rules.stages(COHORT._replace(training_vertebrae=crops), CPU, recipe()).values
    steps = [found[f"stages.{name}"] for name in STAGES]
    assert sum(steps) == total
    before = recipe().stages
    for name, n in zip(STAGES, steps):
        assert n == pytest.approx(before[name] / sum(before.values()) * total, abs=1)
    assert found["train.validate_every"] == total // 2


def test_what_was_given_stays_and_the_other_rules_see_it():
    config = recipe(**{"prepare.voxel_spacing": 1.0, "windows.batch_size": 8})
    rulings = rules.plan(COHORT, CPU, config, ("prepare.voxel_spacing", "windows.batch_size"))
    found = {key: v for ruling in rulings for key, v in ruling.values.items()}
    assert not {"prepare.voxel_spacing", "windows.batch_size"} & set(found)
    assert found["prepare.crop_shape"] == (64, 64, 64)
    # 2.7 * 336 * 64 * 2 / (8 * 4) = 3629
    assert sum(found[f"stages.{name}"] for name in STAGES) == 3650


def test_every_rule_gives_a_reason_with_figures():
    for ruling in rules.plan(COHORT, CPU, recipe(), ()):
        assert any(letter.isdigit() for letter in ruling.reason)
        assert ruling.reason.endswith(".")
