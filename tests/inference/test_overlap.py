"""Overlapping windows against plain loops: what comes out, in which order, what is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.core import jaxprs_in_params

from tests.inference.definitions import definition, exact_scores, rough_scores
from vfseg.inference.fusion import RULES
from vfseg.inference.overlap import FASTEST, METHODS, fuse_slices

THRESHOLD = 0.5
WINDOW_RULES = [name for name, rule in RULES.items() if not rule.centred]


def predictions_of(predictions, starts, length):
    """Voxel -> its predictions by ascending start: the definition of what overlaps."""
    k, a, b = predictions.shape[1:]
    found = {voxel: [] for voxel in np.ndindex(length, a, b)}
    for i in np.argsort(starts):
        for j, y, x in np.ndindex(k, a, b):
            if 0 <= starts[i] + j < length:
                found[starts[i] + j, y, x].append(predictions[i, j, y, x])
    return {voxel: np.array(values, np.float32) for voxel, values in found.items()}


def assert_fused(fused, name, predictions, starts, length):
    """Value and weight of every voxel follow from its predictions; 0 where there are none."""
    rule, (total, weight) = RULES[name], map(np.asarray, fused)
    weight = np.broadcast_to(weight, total.shape)
    for voxel, values in predictions_of(predictions, starts, length).items():
        assert (weight[voxel] > 0) == bool(len(values))
        if len(values):
            got = rule.link(np.float32(total[voxel] / weight[voxel]))
            assert got == pytest.approx(definition(name, values, None, THRESHOLD), abs=2e-6)
        else:
            assert total[voxel] == 0


def sums_by_loop(predictions, starts, length):
    """Float32 sum of all predictions of each voxel, in the order of the windows given."""
    total = np.zeros((length, *predictions.shape[2:]), np.float32)
    for window, start in zip(predictions, starts):
        for j, piece in enumerate(window):
            if 0 <= start + j < length:
                total[start + j] += piece
    return total


def fuse(predictions, starts, length, method, name="mean"):
    predictions = jnp.asarray(predictions)
    return fuse_slices(
        predictions, starts, length, rule=RULES[name], threshold=THRESHOLD, method=method
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("length", "a", "b"), [(1, 1, 1), (7, 3, 2), (16, 2, 5)])
@pytest.mark.parametrize(("k", "stride"), [(1, 1), (3, 1), (3, 2), (4, 2), (5, 3), (2, 3), (4, 4)])
def test_identity_predictor_returns_the_volume(method, length, a, b, k, stride):
    """Windows cut from a volume fuse to it wherever one lies; stride > k leaves gaps of 0."""
    volume = exact_scores(0, (length, a, b))
    starts = np.arange(1 - k, length, stride)  # from the first that touches to the last
    padded = np.pad(volume, ((k, k), (0, 0), (0, 0)))
    windows = np.stack([padded[k + s : 2 * k + s] for s in starts])
    covered = np.zeros((length, 1, 1), np.float32)
    for s in starts:
        covered[max(s, 0) : max(s + k, 0)] += 1

    total, weight = fuse(windows, starts, length, method)

    np.testing.assert_array_equal(weight, covered)
    np.testing.assert_array_equal(total, volume * covered)  # exact: see `exact_scores`
    votes, _ = fuse(windows, starts, length, method, "vote")
    np.testing.assert_array_equal(votes, (volume >= THRESHOLD) * covered)
    highest, one = fuse(windows, starts, length, method, "maximum")
    np.testing.assert_array_equal(highest, volume * (covered > 0))
    np.testing.assert_array_equal(one, covered > 0)


@pytest.mark.parametrize("name", WINDOW_RULES)
@pytest.mark.parametrize("method", [m for m in METHODS if m != "shift"])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_any_starts_equal_the_definition(method, name, data):
    n, k = data.draw(st.sampled_from([(1, 2), (3, 3), (6, 4)]))
    length = data.draw(st.sampled_from([1, 8]))
    places = st.integers(-k - 2, length + 2)
    starts = data.draw(st.lists(places, min_size=n, max_size=n, unique=True))
    predictions = exact_scores(data.draw(st.integers(0, 99)), (n, k, 2, 3))
    fused = fuse(predictions, starts, length, method, name)
    assert_fused(fused, name, predictions, starts, length)


@pytest.mark.parametrize("name", WINDOW_RULES)
@settings(max_examples=8, deadline=None)
@given(
    stride=st.integers(1, 4),
    first=st.integers(-9, 9),
    size=st.sampled_from([(1, 2), (3, 3), (6, 4)]),
    length=st.sampled_from([1, 8]),
)
def test_shift_with_any_spacing_equals_the_definition(name, stride, first, size, length):
    starts = first + stride * np.arange(size[0])
    predictions = exact_scores(first + 9, (*size, 2, 3))
    fused = fuse(predictions, starts, length, "shift", name)
    assert_fused(fused, name, predictions, starts, length)


@pytest.mark.parametrize("method", METHODS)
def test_order_of_windows_changes_no_bit(method):
    """Equal to a float32 loop in ascending order, and so for every order and form."""
    predictions, starts = rough_scores(1, (9, 6, 4, 5)), np.arange(9) - 2
    expected = sums_by_loop(predictions, starts, 10)
    backwards = sums_by_loop(predictions[::-1], starts[::-1], 10)
    assert np.any(expected != backwards)  # or the test would prove nothing
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(9)
        total, _ = fuse(predictions[order], starts[order], 10, method)
        np.testing.assert_array_equal(total, expected)


@pytest.mark.parametrize("method", METHODS)
def test_windows_outside_contribute_nothing(method):
    """Even broken ones that only fill up a batch, and as often as liked."""
    predictions = np.full((4, 2, 1, 1), np.nan, np.float32)
    starts = [-3, -1, 1, 3] if method == "shift" else [3, 3, 0, 1]
    for i in range(4):
        if -2 < starts[i] < 3:
            predictions[i] = 0.75
    expected = [1, 1, 1] if method == "shift" else [1, 2, 1]
    for name, value in (("mean", 0.75), ("vote", 1)):
        total, weight = fuse(predictions, starts, 3, method, name)
        assert total.ravel().tolist() == [value * count for count in expected]
        assert weight.ravel().tolist() == expected


@pytest.mark.parametrize("method", METHODS)
def test_other_starts_and_thresholds_do_not_compile_again(method, compilations):
    predictions, rule = jnp.zeros((4, 3, 3, 7)), RULES["vote"]
    fuse_slices(predictions, [0, 2, 4, 6], 9, rule=rule, threshold=0.5, method=method)
    assert compilations()  # the watch works
    fuse_slices(predictions, [1, 3, 5, 7], 9, rule=rule, threshold=0.25, method=method)
    fuse_slices(predictions, np.array([-2, 0, 2, 4]), 9, rule=rule, threshold=1, method=method)
    assert not compilations()


@pytest.mark.parametrize("method", METHODS)
def test_low_precision_predictions_are_summed_in_float32(method):
    """In bfloat16, of 8 bits, 1 + 1/256 would be 1."""
    predictions = jnp.array([1, 1 / 256], jnp.bfloat16).reshape(2, 1, 1, 1)
    predictions = jnp.broadcast_to(predictions, (2, 2, 1, 1))
    total, _ = fuse(predictions, [0, 1], 3, method)
    assert total.dtype == jnp.float32
    assert total.ravel().tolist() == [1, 1 + 1 / 256, 1 / 256]


@pytest.mark.parametrize(
    ("starts", "method", "message"),
    [
        ([0, 1], None, "starts"),
        ([0, 4, 4], None, "same start"),
        ([0, 1, 3], "shift", "equally spaced"),
        ([0, 1, 2], "segment_sum", "gather, shift, window, scatter"),
    ],
)
def test_misuse_is_named(starts, method, message):
    with pytest.raises(ValueError, match=message):
        fuse(np.zeros((3, 2, 1, 1)), starts, 9, method)


@pytest.mark.parametrize("method", METHODS)
def test_the_compiled_code_is_as_long_for_many_windows_as_for_few(method):
    """Nothing is unrolled over them."""

    def operations(n):
        predictions = jax.ShapeDtypeStruct((n, 4, 2, 3), jnp.float32)
        starts, rule = 2 * np.arange(n), RULES["mean"]
        return primitives(
            lambda p: (
                fuse_slices(p, starts, 2 * n + 2, rule=rule, threshold=0.5, method=method).total
            ),
            predictions,
        )

    assert operations(4) == operations(40)
    expected = {"gather": "reduce", "shift": "pad", "window": "scan", "scatter": "scatter-add"}
    assert expected[method] in operations(4)


def test_default_method_exists_for_every_backend():
    assert {"cpu", "other"} <= set(FASTEST)
    assert set(FASTEST.values()) <= set(METHODS)


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
