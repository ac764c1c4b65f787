"""Encode-once prediction against plain windows, from every view; one compilation for all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.parameters import random_params
from vfseg.crops.intensity import to_channels
from vfseg.data.settings import PLANE_AXES
from vfseg.inference import predict
from vfseg.inference.predict import Predictor, slice_function
from vfseg.inference.views import Views
from vfseg.models.generator import Generator

HU_WINDOWS = ((0.0, 1000.0),)


def small(views, *, window=3, stride=1, size=8):
    """Predictor of a small network, and its parameters."""
    generator = Generator(
        "plain",
        (4, 8),
        attention=True,
        window=window,
        recurrent_scales=(0, 1),
        recurrent_features=2,
    )
    params = random_params(generator, jnp.zeros((1, window, size, size, 1)))
    predict = slice_function(generator, HU_WINDOWS, window=window, stride=stride)
    predictor = Predictor(predict, views)
    return predictor, params, generator


@pytest.mark.parametrize("plane", PLANE_AXES)
@pytest.mark.parametrize("stride", [1, 2])
def test_encode_once_equals_plain_windows(plane, stride):
    crops = np.random.default_rng(0).integers(-200, 1200, (2, 8, 12, 10), np.int16)
    axis = PLANE_AXES[plane]
    slices = np.moveaxis(crops, axis + 1, 1)
    predictor, params, generator = small(Views((plane,)), window=5, stride=stride)
    predicted = predictor.slices(params, crops)
    assert predicted.shape == (2, 1, 8, 12, 10)
    assert predicted.dtype == np.float32
    got = np.moveaxis(predicted[:, 0], axis + 1, 1)

    plain = jax.jit(lambda run: jax.nn.sigmoid(generator.apply({"params": params}, run)[0, 0]))
    for crop, number in np.ndindex(2, slices.shape[1]):
        window = [min(max(number + o * stride, 0), slices.shape[1] - 1) for o in range(-2, 3)]
        run = to_channels(jnp.asarray(slices[crop, window]), HU_WINDOWS)[None]
        assert_allclose(got[crop, number], plain(run), atol=1e-5)


def test_each_view_is_the_plain_answer_to_the_moved_crop():
    """A flipped and a shifted crop, predicted by themselves and moved back by hand."""
    crops = np.random.default_rng(1).integers(-200, 1200, (1, 8, 8, 8), np.int16)
    predictor, params, _ = small(Views(("coronal",), flips=True, shifts=1))
    plain, _, _ = small(Views(("coronal",)))
    views = list(predictor.views)
    answers = predictor.slices(params, crops)[0]
    flipped = plain.slices(params, crops[..., ::-1])[0, 0][..., ::-1]
    number = next(i for i, v in enumerate(views) if v.flipped and not any(v.shift))
    np.testing.assert_array_equal(answers[number], flipped)
    number = next(i for i, v in enumerate(views) if not v.flipped and v.shift == (1, 0, 0))
    moved = np.concatenate([crops[:, :1], crops[:, :-1]], axis=1)
    np.testing.assert_array_equal(answers[number][:-1], plain.slices(params, moved)[0, 0][1:])
    np.testing.assert_array_equal(answers[number][-1], answers[0][-1])


@pytest.mark.parametrize("at_once", [1, 2])
def test_one_compilation_serves_every_crop_plane_and_view(at_once, monkeypatch, caplog):
    """Whoever comes first compiles, and those beside it wait."""
    monkeypatch.setitem(predict.CROPS_AT_ONCE, "cpu", at_once)
    monkeypatch.setattr(predict, "cores", lambda: 4)
    predictor, params, _ = small(Views(tuple(PLANE_AXES), flips=True, shifts=1))
    jax.config.update("jax_log_compiles", True)  # `jax.log_compiles` sees its own thread only
    try:
        for crops in (9, 1):
            predictor.slices(params, np.zeros((crops, 8, 8, 8), np.int16))
    finally:
        jax.config.update("jax_log_compiles", False)
    compiled = [r for r in caplog.messages if r.startswith("Finished XLA compilation")]
    assert sum("predict" in message for message in compiled) == 1


def test_batches_side_by_side_give_the_answers_of_one_after_the_other(monkeypatch):
    crops = np.random.default_rng(4).integers(-200, 1200, (7, 8, 8, 8), np.int16)
    views = Views(("axial", "sagittal"), shifts=1)
    expected = None
    for count in (1, 2, 4):
        monkeypatch.setattr(predict, "cores", lambda count=count: count)
        predictor, params, _ = small(views)
        found = predictor.slices(params, crops)
        expected = found if expected is None else expected
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("at_once", [2, 4])
def test_batches_of_any_size_give_the_same_answers(at_once, monkeypatch):
    """The last batch is filled up, which must not show."""
    crops = np.random.default_rng(2).integers(-200, 1200, (3, 8, 8, 8), np.int16)
    predictor, params, _ = small(Views(("axial", "sagittal")))
    expected = predictor.slices(params, crops)
    monkeypatch.setitem(predict.CROPS_AT_ONCE, "cpu", at_once)
    batched, _, _ = small(Views(("axial", "sagittal")))
    assert_allclose(batched.slices(params, crops), expected, atol=1e-6)


def test_the_order_of_the_vertebrae_changes_no_bit():
    crops = np.random.default_rng(3).integers(-200, 1200, (3, 8, 8, 8), np.int16)
    predictor, params, _ = small(Views(("axial",)))
    straight, turned = predictor.slices(params, crops), predictor.slices(params, crops[::-1])
    np.testing.assert_array_equal(straight, turned[::-1])


def test_members_of_an_ensemble_answer_one_after_the_other():
    crops = np.random.default_rng(5).integers(-200, 1200, (3, 8, 8, 8), np.int16)
    predictor, params, _ = small(Views(("axial", "sagittal")))
    other = jax.tree.map(lambda x: 0.5 * x, params)
    found = np.stack([np.asarray(x) for x in predictor.stream([params, other], crops)])
    expected = [predictor.slices(p, crops) for p in (params, other)]
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    np.testing.assert_array_equal(found, np.concatenate(expected, axis=1))


def test_progress_counts_the_views_of_all_crops():
    predictor, params, _ = small(Views(("axial", "coronal")))
    told = []
    list(predictor.stream([params], np.zeros((3, 8, 8, 8), np.int16), done=told.append))
    assert sum(told) == 3 * 2


def test_operations_grow_with_the_slices():
    """Twice the slices of the same size are nearly twice the work (the margins are shared)."""
    predictor, params, _ = small(Views(("axial",)))
    one, two = (predictor.operations(params, (n, 8, 8)) for n in (32, 64))
    assert one > 0
    assert 1.8 < two / one < 2.01
