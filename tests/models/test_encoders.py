"""Scales of the encoders, their refusals, and which parameters a number of frozen scales means."""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.parameters import random_params
from vfseg.models.attention_unet import Encoder
from vfseg.models.efficientnet import EfficientNetLite0
from vfseg.models.encoders import frozen_mask, make_encoder
from vfseg.models.resnet import ResNet18
from vfseg.models.settings import ENCODERS

CHANNELS = {
    "plain": (8, 16, 24, 32, 40, 48),
    "resnet18": (8, 64, 64, 128, 256, 512),
    "efficientnet_lite0": (8, 16, 24, 40, 112, 320),
}
TRUNKS = pytest.mark.parametrize("kind", ["resnet18", "efficientnet_lite0"])


def _shapes(module, *shape):
    x = jax.ShapeDtypeStruct(shape, np.float32)
    return jax.eval_shape(module.init_with_output, jax.random.key(0), x)


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("scales", [2, 4, 6])
def test_scale_s_halves_s_times(kind, scales):
    features = (8, 16, 24, 32, 40, 48)[:scales]
    maps, _ = _shapes(make_encoder(kind, features), 3, 64, 32, 2)
    expected = [(3, 64 >> s, 32 >> s, CHANNELS[kind][s]) for s in range(scales)]
    assert [m.shape for m in maps] == expected


@TRUNKS
def test_fewer_scales_are_the_beginning_of_more(kind):
    """So that weights of the whole network fit an encoder that stops early."""
    _, long = _shapes(make_encoder(kind, (8,) * 6), 1, 64, 64, 2)
    _, short = _shapes(make_encoder(kind, (8,) * 4), 1, 64, 64, 2)
    long, short = (flax.traverse_util.flatten_dict(tree["params"]) for tree in (long, short))
    later = ("scale4", "scale5")
    assert {p: s for p, s in long.items() if not p[1].startswith(later)} == short


@TRUNKS
def test_what_does_not_fit_is_refused(kind):
    with pytest.raises(ValueError, match="do not halve 3 times"):
        _shapes(make_encoder(kind, (8,) * 4), 1, 48, 44, 1)
    for scales in (1, 7):
        with pytest.raises(ValueError, match=f"has 2 to 6 scales, not {scales}"):
            _shapes(make_encoder(kind, (8,) * scales), 1, 64, 64, 1)


def test_names_and_norms():
    assert make_encoder("plain", (8, 16)) == Encoder((8, 16))
    with pytest.raises(ValueError, match="no encoder 'vgg'; there is plain, resnet18"):
        make_encoder("vgg", (8, 16))
    with pytest.raises(ValueError, match="plain encoder has no norm 'folded'"):
        make_encoder("plain", (8, 16), norm="folded")


@TRUNKS
@pytest.mark.parametrize("norm", ["group", "folded"])
def test_bfloat16_mode(kind, norm):
    maps, variables = _shapes(make_encoder(kind, (8,) * 6, jnp.bfloat16, norm=norm), 1, 32, 32, 2)
    assert {m.dtype for m in maps} == {jnp.dtype(jnp.bfloat16)}
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


@TRUNKS
def test_from_scratch_there_is_no_bias_before_a_norm(kind):
    _, variables = _shapes(make_encoder(kind, (8,) * 6), 1, 32, 32, 2)
    paths = set(flax.traverse_util.flatten_dict(variables["params"]["trunk"]))
    assert {path[-2:] for path in paths} == {
        ("conv", "kernel"),
        ("norm", "scale"),
        ("norm", "bias"),
    }


def test_parameter_counts_are_the_published_ones():
    """11,689,512 and 4,652,008 with BatchNorm and classifiers, which are left out here."""

    def count(module):
        # Folded has no BatchNorm scale, and one input channel more in the stem.
        return sum(p.size for p in jax.tree.leaves(_shapes(module, 1, 32, 32, 3)[1]))

    resnet_norms = 64 + 4 * 64 + 5 * 128 + 5 * 256 + 5 * 512
    assert count(ResNet18(norm="folded")) == (
        11_689_512 - (512 * 1000 + 1000) - resnet_norms + 7 * 7 * 64
    )
    head = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    blocks = [(32, 0, 16), (16, 96, 24), (24, 144, 24), (24, 144, 40), (40, 240, 40)]
    blocks += [(40, 240, 80)] + [(80, 480, 80)] * 2 + [(80, 480, 112)] + [(112, 672, 112)] * 2
    blocks += [(112, 672, 192)] + [(192, 1152, 192)] * 3 + [(192, 1152, 320)]
    norms = 32 + sum((2 * inner or before) + after for before, inner, after in blocks)
    assert count(EfficientNetLite0(norm="folded")) == 4_652_008 - head - norms + 3 * 3 * 32


@TRUNKS
def test_frozen_scales_count_from_the_stem_and_never_reach_the_own_scale(kind):
    params = random_params(make_encoder(kind, (8,) * 5), np.zeros((1, 16, 16, 1), np.float32))
    for frozen in range(5):
        flat = flax.traverse_util.flatten_dict(frozen_mask(params, frozen))
        assert set(flat) == set(flax.traverse_util.flatten_dict(params))
        beginnings = tuple(f"scale{s}_" for s in range(1, frozen + 1))
        for path, is_frozen in flat.items():
            assert is_frozen == (path[0] == "trunk" and path[1].startswith(beginnings))
    with pytest.raises(ValueError, match="5 scales cannot be frozen: the encoder has 4"):
        frozen_mask(params, 5)


def test_nothing_of_the_plain_encoder_can_be_frozen():
    params = random_params(make_encoder("plain", (4, 8)), np.zeros((1, 8, 8, 1), np.float32))
    assert not any(jax.tree.leaves(frozen_mask(params, 0)))
    with pytest.raises(ValueError, match="has 0 pretrained scales"):
        frozen_mask(params, 1)
