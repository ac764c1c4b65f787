import numpy as np
import pytest

from tests.evaluation.spines import DEPTH, WIDTH, Block, build, vertebrae_of
from vfseg.data.geometry import geometry_from
from vfseg.data.spine import Spine
from vfseg.data.volume import Volume
from vfseg.evaluation.heights import (
    SITE_DEPTHS,
    MeasuredBody,
    Unmeasured,
    measure_bodies,
    measure_spine,
)

SPINE = [Block("L1", 25, 26), Block("L2", 17, 26), Block("L3", 27, 27, dent=8)]


def measure(labels):
    return measure_bodies(labels, vertebrae_of(labels))


def known(block):
    return np.array([block.at(share) for share in SITE_DEPTHS])


def rotation(degrees, axis):
    a = np.radians(degrees)
    turned = np.eye(4)
    i, j = [k for k in range(3) if k != axis]
    turned[[i, i, j, j], [i, j, i, j]] = np.cos(a), -np.sin(a), np.sin(a), np.cos(a)
    return turned


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.7, 0.9, 3), (2, 0.8, 0.8)])
def test_blocks_have_the_heights_they_were_built_with(spacing):
    labels, _ = build(SPINE, spacing)
    for block, body in zip(SPINE, measure(labels)):
        # Each endplate of a mask is known to half a voxel; the dent is not flat in its window.
        np.testing.assert_allclose(body.heights, known(block), atol=0.5 * max(spacing[:2]) + 0.4)
        assert abs(body.depth - DEPTH) <= 1.5
        assert abs(body.width - WIDTH) <= 2 * spacing[2]
        assert (body.uncertainty >= spacing[0] * 0.9 / np.sqrt(6)).all()


def test_a_wedge_has_the_ratio_it_was_built_with():
    body = measure(build(SPINE)[0])[1]
    anterior, posterior = (17 + 9 * share for share in (0.15, 0.85))
    assert body.heights[0] / body.heights[2] == pytest.approx(anterior / posterior, abs=0.02)


def test_heights_do_not_hang_on_how_the_patient_lies_in_the_scanner():
    straight, _ = build(SPINE)
    turned, _ = build(
        SPINE, affine=lambda affine: rotation(20, 0) @ rotation(15, 2) @ rotation(-10, 1) @ affine
    )
    np.testing.assert_array_equal(straight.array, turned.array)
    for a, b in zip(measure(straight), measure(turned)):
        # A point on the very edge of a voxel falls to either side by rounding.
        np.testing.assert_allclose(a.heights, b.heights, atol=0.25)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_heights_do_not_hang_on_how_the_voxels_are_stored(order):
    labels, _ = build(SPINE, (1, 0.9, 2))
    flips = (1, -1, 1)
    stored = labels.array.transpose(order)[::1, ::-1, ::1]
    affine = labels.affine[:, [*order, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip < 0:
            affine[:, 3] += affine[:, axis] * (stored.shape[axis] - 1)
            affine[:, axis] *= -1
    geometry = geometry_from(stored.shape, affine)
    again = Volume(geometry.to_canonical(stored), geometry)
    for a, b in zip(measure(labels), measure(again)):
        np.testing.assert_allclose(a.heights, b.heights, atol=1e-3)


def test_heights_grow_with_the_voxel_spacing():
    labels, _ = build(SPINE)
    grown = Volume(
        labels.array, geometry_from(labels.shape, labels.affine @ np.diag([1.1, 1.1, 1.1, 1]))
    )
    for small, large in zip(measure(labels), measure(grown)):
        np.testing.assert_allclose(large.heights, 1.1 * small.heights, atol=0.4)


@pytest.mark.parametrize(("pitch", "roll"), [(25, 0), (-30, 0), (10, 15)])
def test_a_curved_spine_is_measured_along_itself(pitch, roll):
    blocks = [
        Block("T11", 22, 24, pitch=pitch, roll=roll),
        Block("T12", 14, 24, pitch=pitch / 2, roll=roll / 2),
        Block("L1", 25, 25),
    ]
    for block, body in zip(blocks, measure(build(blocks, margin=30)[0])):
        np.testing.assert_allclose(body.heights, known(block), atol=0.7)


@pytest.mark.parametrize("arch", [True, False])
def test_the_arch_is_no_part_of_the_body(arch):
    blocks = [Block(level, 22, 25, arch=arch) for level in ("L1", "L2", "L3")]
    for body in measure(build(blocks)[0]):
        np.testing.assert_allclose(body.heights, known(blocks[0]), atol=0.7)
        assert abs(body.depth - DEPTH) <= 1.5


def test_one_vertebra_is_enough():
    (body,) = measure(build([Block("L3", 20, 26, pitch=15)])[0])
    np.testing.assert_allclose(body.heights, known(Block("L3", 20, 26)), atol=0.7)


def test_places_in_a_body_are_shares_of_it():
    labels, centres = build([Block("L1"), Block("L2"), Block("L3")])
    body = measure(labels)[1]
    world = labels.affine @ [*centres[1], 1]
    # World axes are right, anterior, superior.
    points = np.add(world[:3], [[0, 0, 0], [0, 0, 9], [0, -12, 0], [-16, 0, 0]])
    want = [[0.5, 0.5, 0], [0.5 + 9 / 24, 0.5, 0], [0.5, 0.1, 0], [0.5, 0.5, -0.8]]
    np.testing.assert_allclose(body.relative(points), want, atol=0.06)


def test_cut_vertebrae_and_fragments_are_not_measured():
    labels, _ = build([Block("L1"), Block("L2"), Block("L3")], margin=20)
    planes = np.flatnonzero((labels.array == 20).any(axis=(1, 2)))
    array = labels.array[: planes[len(planes) // 2]].copy()  # through the body of L1
    array[array == 22] = 0
    array[5:8, 60:70, 20:30] = 22
    cut = Volume(array, geometry_from(array.shape, labels.affine))
    l1, l2, l3 = measure(cut)
    assert l1 == Unmeasured("L1", "cut by the border of the CT")
    assert isinstance(l2, MeasuredBody)
    assert l3 == Unmeasured("L3", "only a fragment is labelled")


def test_a_mask_without_a_body_is_said_to_have_none():
    labels, _ = build([Block("L1"), Block("L2"), Block("L3")])
    array = labels.array.copy()
    _, front, right = np.indices(array.shape)
    thin = front % 6 > 1  # leaves slabs of 2 mm, which the left wall of the body joins
    wall = right == right[array == 21].min()
    array[(array == 21) & thin & ~wall] = 0
    found = measure(Volume(array, labels.geometry))
    assert found[1] == Unmeasured("L2", "no body found in its mask")


def test_heights_of_bodies_that_the_program_outlined_are_less_certain_by_one_millimetre():
    labels, _ = build(SPINE)
    spine = Spine(vertebrae_of(labels), labels, (), ())
    for sure, unsure in zip(
        measure_spine(spine).bodies, measure_spine(spine._replace(outlined=True)).bodies
    ):
        np.testing.assert_array_equal(unsure.heights, sure.heights)
        np.testing.assert_allclose(unsure.uncertainty**2, sure.uncertainty**2 + 1.0)
