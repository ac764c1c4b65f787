"""The fusion kernel against plain NumPy, and the order in which it adds."""

import weakref

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inference.definitions import definition, exact_scores, place_weight, rough_scores
from vfseg.inference.fusion import RULES
from vfseg.inference.kernel import add_crop, empty, fuse_crops
from vfseg.inference.settings import FUSIONS

THRESHOLD = 0.5


def fuse(crops, starts, name="mean", spread=False):
    return fuse_crops(crops, starts, fusion=name, slice_threshold=THRESHOLD, spread=spread)


def value(joined, name, voxel):
    total, weight = (np.asarray(part)[voxel] for part in joined.fused)
    return float(RULES[name].link(total / weight))


def by_voxel(crops, starts, origin):
    """Voxel of the grid -> its predictions and their weights by place, crop by crop."""
    found = {}
    for crop, start in zip(crops, starts):
        for voxel in np.ndindex(*crop.shape[1:]):
            target = tuple(np.add(start, voxel) - origin)
            p, c = found.setdefault(target, ([], []))
            p.extend(crop[(slice(None), *voxel)])
            c.extend([place_weight(voxel, crop.shape[1:])] * len(crop))
    return {voxel: (np.array(p, np.float32), c) for voxel, (p, c) in found.items()}


@pytest.mark.parametrize("name", FUSIONS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_crops_and_views_anywhere_equal_the_definition(name, data):
    m, views = data.draw(st.sampled_from([(1, 3), (4, 1), (3, 2)]))
    places = st.tuples(*[st.integers(-3, 3)] * 3)
    starts = data.draw(st.lists(places, min_size=m, max_size=m, unique=True))
    crops = exact_scores(data.draw(st.integers(0, 99)), (m, views, 3, 2, 4))

    joined = fuse(crops, starts, name, spread=True)

    assert joined.origin == tuple(np.min(starts, axis=0))
    assert joined.extent == tuple(np.max(starts, axis=0) - joined.origin + (3, 2, 4))
    known = by_voxel(crops, starts, joined.origin)
    weight, spread = np.asarray(joined.fused.weight), np.asarray(joined.spread)
    assert {tuple(voxel) for voxel in np.argwhere(weight > 0).tolist()} == set(known)
    for voxel, (p, centre) in known.items():
        wanted = definition(name, p, centre, THRESHOLD)
        assert value(joined, name, voxel) == pytest.approx(wanted, abs=2e-6)
        assert spread[voxel] == pytest.approx(p.astype(np.float64).std(), abs=1e-6)
    assert not spread[weight == 0].any()


@pytest.mark.parametrize("name", FUSIONS)
def test_the_order_of_crops_changes_no_bit(name):
    crops = rough_scores(2, (6, 2, 5, 4, 4))
    starts = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 0, 1), (2, 1, 1)]
    expected = fuse(crops, starts, name, spread=True)
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(6)
        found = fuse(crops[order], [starts[i] for i in order], name, spread=True)
        for got, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_these_scores_do_depend_on_the_order():
    """Else the test before would show nothing."""
    crops = rough_scores(2, (6, 5, 4, 4))
    one, other = (sum(crops[::step], np.zeros((5, 4, 4), np.float32)) for step in (1, -1))
    assert np.any(one != other)


@pytest.mark.parametrize("name", FUSIONS)
def test_agreement_is_kept(name):
    """Where all predictions are equal the fused value is that; a vote says on which side."""
    for p in (0.0, 0.25, 0.75, 1.0):
        crops = np.full((3, 2, 2, 2, 2), p, np.float32)
        joined = fuse(crops, [(0, 0, 0), (0, 0, 1), (1, 0, 0)], name)
        total, weight = map(np.asarray, joined.fused)
        inside = weight > 0
        got = RULES[name].link(total[inside] / weight[inside])
        np.testing.assert_allclose(got, p >= 0.5 if name == "vote" else p, atol=2e-6)


def test_crops_are_let_go_of_as_soon_as_they_are_added():
    """Those that come by ascending start never wait; others wait for their turn."""
    references = []

    def predictions(numbers, most):
        for number in numbers:
            crop = np.full((1, 2, 2, 2), number, np.float32)
            references.append(weakref.ref(crop))
            yield crop
            del crop
            assert sum(reference() is not None for reference in references) <= most

    starts = [(number, 0, 0) for number in range(6)]
    joined = fuse(predictions(range(6), most=1), starts)
    turned = fuse(predictions(range(5, -1, -1), most=6), starts[::-1])
    sums = [0.0, 1.0, 3.0, 5.0, 7.0, 9.0, 5.0]
    for found in (joined, turned):
        assert np.asarray(found.fused.total)[:7, 0, 0].tolist() == sums


def test_a_prediction_that_is_missing_is_an_error():
    with pytest.raises(ValueError, match="2 crops, and 1 of them predicted"):
        fuse(np.ones((1, 1, 2, 2, 2), np.float32), [(0, 0, 0), (0, 0, 1)])


def test_cases_of_about_a_size_share_a_program():
    rule, shape = RULES["mean"], (1, 4, 4, 4)
    add_crop(empty((4, 4, 4), spread=True), np.ones(shape, np.float32), np.zeros(3, int), 0.5,
             rule=rule)  # fmt: skip
    programs = add_crop._cache_size()
    for extent in ((9, 4, 30), (32, 32, 32), (17, 7, 30)):
        canvas = empty(extent, spread=True)
        add_crop(canvas, np.ones(shape, np.float32), np.zeros(3, int), 0.5, rule=rule)
    assert add_crop._cache_size() == programs


def test_the_canvas_is_changed_in_place():
    canvas = empty((4, 4, 4), spread=False)
    before = canvas.fused.total.unsafe_buffer_pointer()
    after = add_crop(canvas, np.ones((1, 4, 4, 4), np.float32), np.zeros(3, np.int32), 0.5,
                     rule=RULES["mean"])  # fmt: skip
    assert after.fused.total.unsafe_buffer_pointer() == before
    assert canvas.fused.total.is_deleted()
