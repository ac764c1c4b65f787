"""Losses against values and gradients derived by hand; empty and full masks stay finite."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from vfseg.training import losses
from vfseg.training.settings import SUPERVISED


def _gradient(loss, *arguments):
    """Of a loss on one device, by its first argument."""
    return jax.jit(jax.grad(lambda x: loss(x, *arguments[1:]).alone()))(arguments[0])


def test_every_supervised_loss_has_its_weight_in_the_config():
    assert tuple(losses.SUPERVISED_LOSSES) == SUPERVISED


def test_cross_entropy_by_hand():
    logits, target = jnp.array([0.0, 2.0, -1.0]), jnp.array([1.0, 1.0, 0.0])
    # -log sigmoid(0), -log sigmoid(2), -log(1 - sigmoid(-1)) = log(1 + e^-1)
    want = np.mean([np.log(2), np.log1p(np.exp(-2)), np.log1p(np.exp(-1))])
    assert_allclose(losses.cross_entropy(logits, target).alone(), want, rtol=1e-6)
    gradient = _gradient(losses.cross_entropy, logits, target)
    assert_allclose(gradient, (1 / (1 + np.exp([0.0, -2, 1])) - np.array([1, 1, 0])) / 3, rtol=1e-5)


def test_dice_by_hand_and_its_gradient():
    p, y = jnp.array([0.5, 0.25, 0.0]), jnp.array([1.0, 0.0, 1.0])
    overlap, size, s = 0.5, 2.75, 1.0
    assert_allclose(losses.dice_loss(p, y).alone(), 1 - (2 * overlap + s) / (size + s), rtol=1e-6)
    # d/dp_i = -(2 y_i (size + s) - (2 overlap + s)) / (size + s)^2
    want = -(2 * np.array(y) * (size + s) - (2 * overlap + s)) / (size + s) ** 2
    assert_allclose(_gradient(losses.dice_loss, p, y), want, rtol=1e-5)


def test_l1_by_hand():
    assert float(losses.l1(jnp.array([0.25, 1.0]), jnp.array([1.0, 0.0])).alone()) == 0.875


def test_patch_accuracy_weighs_real_and_fake_alike():
    real, fake = jnp.array([1.0, 1.0, -1.0, 1.0]), jnp.array([-1.0, 1.0])
    assert float(losses.patch_accuracy(real, fake).alone()) == (0.75 + 0.5) / 2


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-200.0, 0.0, 200.0])
def test_empty_and_full_masks_are_finite_with_finite_gradients(value, logit):
    target, logits = jnp.full((4, 4), value), jnp.full((4, 4), logit)

    def total(logits):
        p = jax.nn.sigmoid(logits)
        return (
            losses.dice_loss(p, target).alone()
            + losses.l1(p, target).alone()
            + losses.cross_entropy(logits, target).alone()
        )

    loss, gradient = jax.jit(jax.value_and_grad(total))(logits)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_empty_against_empty_costs_nothing():
    assert float(losses.dice_loss(jnp.zeros(9), jnp.zeros(9)).alone()) == 0.0


def test_focal_by_hand():
    """With p = 1/2: -a log(1/2) / 4 with a = 0.75 on fracture and 0.25 on background."""
    got = losses.focal_loss(jnp.zeros(4), jnp.array([1.0, 0, 0, 0])).alone()
    assert_allclose(got, np.log(2) / 4 * (0.75 + 3 * 0.25) / 4, rtol=1e-6)
    logits, target = jnp.array([1.5, -0.5]), jnp.array([1.0, 0.0])
    p = 1 / (1 + np.exp(-np.array([1.5, -0.5])))
    want = -(0.75 * (1 - p[0]) ** 2 * np.log(p[0]) + 0.25 * p[1] ** 2 * np.log(1 - p[1])) / 2
    assert_allclose(losses.focal_loss(logits, target).alone(), want, rtol=1e-5)


def test_focal_with_gamma_0_is_half_the_cross_entropy():
    logits, target = jnp.array([1.5, -0.5, 3.0]), jnp.array([1.0, 0.0, 0.0])
    got = losses.focal_loss(logits, target, gamma=0.0, alpha=0.5).alone()
    assert_allclose(2 * got, losses.cross_entropy(logits, target).alone(), rtol=1e-6)


def test_focal_tversky_by_hand_and_its_gradient():
    p, y = jnp.array([0.5, 0.25, 0.0]), jnp.array([1.0, 0.0, 1.0])
    tp, fp, fn, s = 0.5, 0.25, 1.5, 1.0
    wrong = 0.3 * fp + 0.7 * fn
    share = wrong / (tp + wrong + s)
    assert_allclose(losses.focal_tversky_loss(p, y).alone(), share**0.75, rtol=1e-6)
    # d wrong / dp = 0.3 (1 - y) - 0.7 y, d tp / dp = y
    d_wrong, d_tp = 0.3 * (1 - np.array(y)) - 0.7 * np.array(y), np.array(y)
    d_share = (d_wrong * (tp + s) - wrong * d_tp) / (tp + wrong + s) ** 2
    want = 0.75 * share**-0.25 * d_share
    assert_allclose(_gradient(losses.focal_tversky_loss, p, y), want, rtol=1e-5)


def test_focal_tversky_with_equal_weights_is_the_dice_loss():
    p, y = jnp.array([0.5, 0.25, 0.0]), jnp.array([1.0, 0.0, 1.0])
    got = losses.focal_tversky_loss(p, y, alpha=0.5, beta=0.5, gamma=1.0, smooth=0.5)
    assert_allclose(got.alone(), losses.dice_loss(p, y, smooth=1.0).alone(), rtol=1e-6)


@pytest.mark.parametrize(
    ("form", "real", "slope"),
    [
        ("least_squares", True, lambda x: 2 * (x - 0.5)),
        ("least_squares", False, lambda x: 2 * (x + 0.5)),
        ("hinge", True, lambda x: np.where(x < 1, -1.0, 0.0)),
        ("hinge", False, lambda x: np.where(x > -1, 1.0, 0.0)),
    ],
)
def test_adversarial_forms_by_their_slope(form, real, slope):
    x = np.array([-2.0, -0.25, 0.75, 3.0])
    loss = functools.partial(losses.adversarial_loss, real=real, form=form)
    gradient = _gradient(loss, jnp.asarray(x))
    assert_allclose(gradient, slope(x) / 4, atol=1e-6)


def test_the_hinge_generator_never_rests():
    logits = jnp.array([5.0, -1.0])
    loss = losses.adversarial_loss(logits, real=True, form="hinge", generator=True)
    assert float(loss.alone()) == -2.0


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("logit", [-200.0, 0.0, 200.0])
def test_focal_losses_of_empty_and_full_masks_are_finite(value, logit):
    logits, target = jnp.full(8, logit), jnp.full(8, value)
    for loss in (
        lambda x: losses.focal_loss(x, target).alone(),
        lambda x: losses.focal_tversky_loss(jax.nn.sigmoid(x), target).alone(),
    ):
        assert jnp.isfinite(loss(logits))
        assert jnp.isfinite(jax.jit(jax.grad(loss))(logits)).all()
