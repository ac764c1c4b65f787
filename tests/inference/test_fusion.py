"""Fusion against plain loops: what comes out, in which order it is added, what is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.core import jaxprs_in_params

from vfseg.inference.fusion import (
    BOX_METHODS,
    FASTEST,
    SLICE_METHODS,
    Fused,
    fuse_boxes,
    fuse_slices,
)

THRESHOLD = 0.5


def exact_scores(seed, shape):
    """Multiples of 1/64 in 0..1: their float32 sums are exact, so any twin must agree to the bit.

    A third of them equal the threshold or lie next to it.
    """
    rng = np.random.default_rng(seed)
    near = rng.integers(31, 34, shape)
    return (np.where(rng.random(shape) < 1 / 3, near, rng.integers(0, 65, shape)) / 64).astype("f4")


def rough_scores(seed, shape):
    """Scores of very different size: their float32 sums do depend on the order."""
    rng = np.random.default_rng(seed)
    return (rng.random(shape) * 10.0 ** rng.integers(-6, 1, shape)).astype("f4")


def slices_by_loops(predictions, starts, length):
    """Window by window, slice by slice, voxel by voxel: the definition."""
    n, k, a, b = predictions.shape
    score_sum = np.zeros((length, a, b), np.float32)
    votes, count = np.zeros((2, length, a, b), int)
    for i in range(n):
        for j in range(k):
            z = starts[i] + j
            if not 0 <= z < length:
                continue
            for y in range(a):
                for x in range(b):
                    score_sum[z, y, x] += predictions[i, j, y, x]
                    votes[z, y, x] += predictions[i, j, y, x] >= THRESHOLD
                    count[z, y, x] += 1
    return score_sum, votes, count


def boxes_by_loops(fields, starts, shape):
    out = [np.zeros(shape, field.dtype) for field in fields]
    for i, start in enumerate(starts):
        for voxel in np.ndindex(fields[0].shape[1:]):
            target = tuple(np.add(start, voxel))
            if all(0 <= t < s for t, s in zip(target, shape)):
                for grid, field in zip(out, fields):
                    grid[target] += field[i][voxel]
    return out


def assert_fused(fused, expected):
    """Equal to the bit, and mean and vote follow; nothing where the count is 0."""
    score_sum, votes, count = expected
    assert fused.score_sum.dtype == jnp.float32
    assert jnp.issubdtype(fused.votes.dtype, jnp.unsignedinteger)
    assert jnp.issubdtype(fused.count.dtype, jnp.unsignedinteger)
    np.testing.assert_array_equal(fused.score_sum, score_sum)
    np.testing.assert_array_equal(fused.votes, votes)
    np.testing.assert_array_equal(np.broadcast_to(fused.count, count.shape), count)
    for result, total in ((fused.mean(), score_sum), (fused.vote(), votes)):
        assert result.dtype == jnp.float32
        assert result.shape == score_sum.shape
        np.testing.assert_allclose(result, total / np.maximum(count, 1), rtol=3e-7)
        assert not np.any(np.asarray(result)[count == 0])


def bits(fused):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(fused)]


def sorted_starts(n, stride, first):
    return first + stride * np.arange(n)


class TestSlices:
    @pytest.mark.parametrize("method", SLICE_METHODS)
    @pytest.mark.parametrize(("length", "a", "b"), [(1, 1, 1), (7, 3, 2), (16, 2, 5)])
    @pytest.mark.parametrize(
        ("k", "stride"), [(1, 1), (3, 1), (3, 2), (4, 2), (5, 3), (2, 3), (4, 4)]
    )
    def test_identity_predictor_returns_the_volume(self, method, length, a, b, k, stride):
        """Windows cut from a volume fuse to it wherever one lies; stride > k leaves gaps of 0."""
        volume = exact_scores(0, (length, a, b))
        starts = np.arange(1 - k, length, stride)  # from the first that touches to the last
        padded = np.pad(volume, ((k, k), (0, 0), (0, 0)))
        windows = np.stack([padded[k + s : 2 * k + s] for s in starts])
        covered = np.zeros((length, 1, 1), bool)
        for s in starts:
            covered[max(s, 0) : max(s + k, 0)] = True

        fused = fuse_slices(jnp.asarray(windows), starts, length, threshold=0.5, method=method)

        np.testing.assert_array_equal(fused.mean(), np.where(covered, volume, 0))
        np.testing.assert_array_equal(fused.vote(), covered & (volume >= 0.5))
        assert_fused(fused, slices_by_loops(windows, starts, length))

    @pytest.mark.parametrize("method", [m for m in SLICE_METHODS if m != "shift"])
    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_any_starts_equal_the_loops(self, method, data):
        n, k = data.draw(st.sampled_from([(1, 2), (3, 3), (6, 4)]))
        length = data.draw(st.sampled_from([1, 3, 8]))
        places = st.integers(-k - 2, length + 2)
        starts = data.draw(st.lists(places, min_size=n, max_size=n, unique=True))
        predictions = exact_scores(data.draw(st.integers(0, 99)), (n, k, 2, 3))
        fused = fuse_slices(predictions, starts, length, threshold=THRESHOLD, method=method)
        assert_fused(fused, slices_by_loops(predictions, starts, length))

    @settings(max_examples=25, deadline=None)
    @given(
        stride=st.integers(1, 4),
        first=st.integers(-9, 9),
        size=st.sampled_from([(1, 2), (3, 3), (6, 4)]),
        length=st.sampled_from([1, 8]),
    )
    def test_shift_with_any_spacing_equals_the_loops(self, stride, first, size, length):
        starts = sorted_starts(size[0], stride, first)
        predictions = exact_scores(first + 9, (*size, 2, 3))
        fused = fuse_slices(predictions, starts, length, threshold=THRESHOLD, method="shift")
        assert_fused(fused, slices_by_loops(predictions, starts, length))

    @pytest.mark.parametrize("method", SLICE_METHODS)
    def test_order_of_windows_changes_no_bit(self, method):
        """Equal to a float32 loop in ascending order, and so for every order and form."""
        predictions, starts = rough_scores(1, (9, 6, 4, 5)), sorted_starts(9, 1, -2)
        expected = slices_by_loops(predictions, starts, 10)
        backwards = slices_by_loops(predictions[::-1], starts[::-1], 10)
        assert np.any(expected[0] != backwards[0])  # or the test would prove nothing
        for seed in range(4):
            order = np.random.default_rng(seed).permutation(9)
            fused = fuse_slices(
                jnp.asarray(predictions[order]), starts[order], 10, threshold=0.5, method=method
            )
            assert_fused(fused, expected)

    @pytest.mark.parametrize("method", SLICE_METHODS)
    def test_windows_outside_contribute_nothing(self, method):
        """Even broken ones that only fill up a batch, and as often as liked."""
        predictions = np.full((4, 2, 1, 1), np.nan, np.float32)
        starts = [-3, -1, 1, 3] if method == "shift" else [3, 3, 0, 1]
        for i in range(4):
            if -2 < starts[i] < 3:
                predictions[i] = 0.75
        expected = [1, 1, 1] if method == "shift" else [1, 2, 1]
        fused = fuse_slices(predictions, starts, 3, threshold=0.5, method=method)
        assert fused.score_sum.ravel().tolist() == [0.75 * count for count in expected]
        assert fused.votes.ravel().tolist() == expected
        assert fused.count.ravel().tolist() == expected

    @pytest.mark.parametrize("method", SLICE_METHODS)
    def test_other_starts_and_thresholds_do_not_compile_again(self, method, compilations):
        predictions = jnp.zeros((4, 3, 3, 7))
        fuse_slices(predictions, [0, 2, 4, 6], 9, threshold=0.5, method=method)
        assert compilations()  # the watch works
        fuse_slices(predictions, [1, 3, 5, 7], 9, threshold=0.25, method=method)
        fuse_slices(predictions, np.array([-2, 0, 2, 4]), 9, threshold=1, method=method)
        assert not compilations()

    @pytest.mark.parametrize("method", SLICE_METHODS)
    def test_low_precision_predictions_are_summed_in_float32(self, method):
        """In bfloat16, of 8 bits, 1 + 1/256 would be 1."""
        predictions = jnp.array([1, 1 / 256], jnp.bfloat16).reshape(2, 1, 1, 1)
        predictions = jnp.broadcast_to(predictions, (2, 2, 1, 1))
        fused = fuse_slices(predictions, [0, 1], 3, threshold=0.5, method=method)
        assert fused.score_sum.dtype == jnp.float32
        assert fused.score_sum.ravel().tolist() == [1, 1 + 1 / 256, 1 / 256]
        assert fused.votes.ravel().tolist() == [1, 1, 0]

    def test_vertebrae_under_vmap(self):
        predictions, starts = exact_scores(3, (2, 3, 4, 5, 6)), [0, 2, 4]
        fused = jax.vmap(lambda p: fuse_slices(p, starts, 8, threshold=THRESHOLD))(predictions)
        assert fused.count.shape == (2, 8, 1, 1)
        for i in range(2):
            one = jax.tree.map(lambda x, i=i: x[i], fused)
            assert_fused(one, slices_by_loops(predictions[i], starts, 8))

    def test_planes_are_transposed_and_added(self):
        """Windows along axis 0 and along axis 2 of one cube; each leaves some slices out."""
        along = [exact_scores(seed, (2, 3, 6, 6)) for seed in (0, 1)]
        first, third = (fuse_slices(p, [0, 2], 6, threshold=THRESHOLD) for p in along)
        turned = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 2), third)
        loops = [slices_by_loops(p, [0, 2], 6) for p in along]
        assert_fused(first + turned, [a + b.swapaxes(0, 2) for a, b in zip(*loops)])

    @pytest.mark.parametrize(
        ("starts", "method", "message"),
        [
            ([0, 1], None, "starts"),
            ([0, 4, 4], None, "same start"),
            ([0, 1, 3], "shift", "equally spaced"),
            ([0, 1, 2], "segment_sum", "gather, shift, window, scatter"),
        ],
    )
    def test_misuse_is_named(self, starts, method, message):
        with pytest.raises(ValueError, match=message):
            fuse_slices(jnp.zeros((3, 2, 1, 1)), starts, 9, threshold=0.5, method=method)


class TestBoxes:
    @pytest.mark.parametrize("method", BOX_METHODS)
    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_any_starts_equal_the_loops(self, method, data):
        """Boxes inside, across each face, outside, larger than the grid; counts constant or not."""
        shape, box, m = data.draw(
            st.sampled_from([((6, 5, 7), (3, 2, 4), 3), ((2, 3, 4), (4, 4, 1), 2)])
        )
        places = [st.integers(-b - 1, s + 1) for b, s in zip(box, shape)]
        starts = np.array(data.draw(st.lists(st.tuples(*places), min_size=m, max_size=m)))
        rng = np.random.default_rng(data.draw(st.integers(0, 99)))
        count = rng.integers(1, 9, (m, box[0], 1, 1)).astype(np.uint16)
        votes = rng.integers(0, 9, (m, *box)).astype(np.uint16)
        fields = (
            exact_scores(int(votes.sum()), (m, *box)),
            votes,
            np.broadcast_to(count, votes.shape),
        )
        given = Fused(fields[0], votes, data.draw(st.sampled_from([count, fields[2]])))

        fused = fuse_boxes(jax.tree.map(jnp.asarray, given), starts, shape, method=method)

        assert fused.count.shape == shape
        assert_fused(fused, boxes_by_loops(fields, starts, shape))

    @pytest.mark.parametrize("method", BOX_METHODS)
    def test_identity_predictor_returns_the_volume(self, method):
        """From windows over boxes to the grid, every vertebra cut from one volume."""
        volume = exact_scores(5, (20, 9, 8))
        box, starts = (8, 6, 6), np.array([[0, 0, 0], [5, 2, 1], [9, -2, 4], [14, 5, 3]])
        margin = np.pad(volume, 9)
        crops = [
            margin[tuple(slice(9 + s, 9 + s + b) for s, b in zip(start, box))] for start in starts
        ]
        windows = np.stack([[crop[z : z + 4] for z in (0, 2, 4)] for crop in crops])
        covered = np.zeros(volume.shape, bool)
        for start in starts:
            covered[tuple(slice(max(s, 0), s + b) for s, b in zip(start, box))] = True

        boxes = jax.vmap(lambda w: fuse_slices(w, [0, 2, 4], 8, threshold=THRESHOLD))(windows)
        fused = fuse_boxes(boxes, starts, volume.shape, method=method)

        assert 0 < covered.sum() < covered.size
        np.testing.assert_array_equal(fused.count > 0, covered)
        np.testing.assert_array_equal(fused.mean(), np.where(covered, volume, 0))
        np.testing.assert_array_equal(fused.vote(), covered & (volume >= THRESHOLD))

    @pytest.mark.parametrize("method", BOX_METHODS)
    def test_order_of_boxes_changes_no_bit(self, method):
        m, box, shape = 6, (5, 4, 4), (7, 5, 6)
        scores, ones = rough_scores(2, (m, *box)), np.ones((m, *box), np.uint16)
        starts = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1], [2, 1, 1]])
        expected = boxes_by_loops((scores, ones, ones), starts, shape)
        backwards = boxes_by_loops((scores[::-1], ones, ones), starts[::-1], shape)
        assert np.any(expected[0] != backwards[0])  # or the test would prove nothing
        for seed in range(4):
            order = np.random.default_rng(seed).permutation(m)
            boxes = Fused(*map(jnp.asarray, (scores[order], ones, ones)))
            assert_fused(fuse_boxes(boxes, starts[order], shape, method=method), expected)

    @pytest.mark.parametrize("method", BOX_METHODS)
    def test_starts_are_dynamic(self, method):
        """Traced starts: one trace serves any place, and vmap and jit may be put around it."""
        traces = []
        ones = jnp.ones((1, 2, 2, 2))
        boxes = Fused(ones, ones.astype(jnp.uint16), ones.astype(jnp.uint16))

        @jax.jit
        def total(starts):
            traces.append(starts.shape)
            return fuse_boxes(boxes, starts, (3, 3, 3), method=method).score_sum.sum()

        assert total(np.array([[0, 0, 0]])) == 8
        assert total(np.array([[2, 1, 0]])) == 4
        assert total(np.array([[-1, -1, -1]])) == 1
        assert total(np.array([[0, 3, 0]])) == 0
        assert len(traces) == 1

    @pytest.mark.parametrize("method", BOX_METHODS)
    def test_other_starts_do_not_compile_again(self, method, compilations):
        ones = jnp.ones((2, 3, 1, 2))
        fuse_boxes(Fused(ones, ones, ones), [[0, 0, 0], [1, 1, 1]], (4, 4, 3), method=method)
        assert compilations()  # the watch works
        fuse_boxes(Fused(ones, ones, ones), [[3, -1, 0], [9, 1, 1]], (4, 4, 3), method=method)
        assert not compilations()

    def test_misuse_is_named(self):
        ones = jnp.ones((2, 3, 3, 3))
        with pytest.raises(ValueError, match="m 3"):
            fuse_boxes(Fused(ones, ones, ones), np.zeros((3, 3)), (4, 4, 4))
        with pytest.raises(ValueError, match="window, scatter"):
            fuse_boxes(Fused(ones, ones, ones), np.zeros((2, 3)), (4, 4, 4), method="gather")


class TestCompiledCode:
    """The compiled code is as long for many windows as for few: nothing is unrolled over them."""

    @pytest.mark.parametrize("method", SLICE_METHODS)
    def test_slices(self, method):
        def operations(n):
            predictions = jax.ShapeDtypeStruct((n, 4, 2, 3), jnp.float32)
            starts = sorted_starts(n, 2, 0)
            return primitives(
                lambda p: fuse_slices(p, starts, 2 * n + 2, threshold=0.5, method=method),
                predictions,
            )

        assert operations(4) == operations(40)
        expected = {"gather": "reduce", "shift": "pad", "window": "scan", "scatter": "scatter-add"}
        assert expected[method] in operations(4)

    @pytest.mark.parametrize("method", BOX_METHODS)
    def test_boxes(self, method):
        def operations(m):
            field = jax.ShapeDtypeStruct((m, 2, 3, 4), jnp.float32)
            starts = jax.ShapeDtypeStruct((m, 3), jnp.int32)
            return primitives(
                lambda f, s: fuse_boxes(Fused(f, f, f), s, (9, 9, 9), method=method), field, starts
            )

        assert operations(2) == operations(20)
        assert {"window": "scan", "scatter": "scatter-add"}[method] in operations(2)


def test_default_method_exists_for_every_backend():
    for table, methods in (("slices", SLICE_METHODS), ("boxes", BOX_METHODS)):
        assert {"cpu", "other"} <= set(FASTEST[table])
        assert set(FASTEST[table].values()) <= set(methods)


def primitives(function, *arguments):
    """Names of all primitives in the jaxpr of a function, inner jaxprs included, in order."""

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            yield equation.primitive.name
            for inner in jaxprs_in_params(equation.params):
                yield from walk(inner)

    return list(walk(jax.make_jaxpr(function)(*arguments).jaxpr))


@pytest.fixture
def compilations(caplog):
    """Function that returns what was compiled since it was last called."""
    with jax.log_compiles():
        caplog.clear()

        def since():
            messages = [r.getMessage() for r in caplog.records if "Compiling" in r.getMessage()]
            caplog.clear()
            return messages

        yield since
