"""Generator and discriminator in plain PyTorch, with the weights of their Flax originals.

Layer for layer the same networks as `vfseg.models`, written as one would write them in PyTorch,
`n c h w` within. Only what the quickstart uses exists: the plain encoder, attention gates, a
ConvLSTM that runs one way, GroupNorm in the discriminator. As the original, the generator takes
runs of slices and encodes each slice once; plain windows are runs of a single window. So the twin
has both forms, and what shared encoding saves is not taken for the speed of a framework.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfseg.config.config import Config
from vfseg.models.layers import group_count

PRIOR = 0.01  # as `vfseg.models.attention_unet.Decoder.prior`
EPSILON = 1e-6  # of GroupNorm in flax
_LAYERS = {
    "ConvNormRelu_0": "first",
    "ConvNormRelu_1": "second",
    "Conv_0": "conv",
    "GroupNorm_0": "norm",
}
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}


def conv3x3(before: int, features: int, bias: bool = False) -> nn.Conv2d:
    """A convolution that keeps height and width."""
    return nn.Conv2d(before, features, 3, padding=1, bias=bias)


class ConvNormRelu(nn.Module):
    """As `vfseg.models.layers.ConvNormRelu`; `side` is the number of channels of a side input."""

    def __init__(self, before: int, features: int, side: int = 0):
        super().__init__()
        self.conv = conv3x3(before, features)
        if side:
            self.side = conv3x3(side, features)
        self.norm = nn.GroupNorm(group_count(features), features, EPSILON)

    def forward(self, x: Tensor, side: Tensor | None = None) -> Tensor:
        """Maps `n c h w` to `n features h w`."""
        x = self.conv(x)
        if side is not None:
            x = x + self.side(side)
        return F.relu(self.norm(x))


class DoubleConv(nn.Module):
    """As `vfseg.models.layers.DoubleConv`."""

    def __init__(self, before: int, features: int, side: int = 0):
        super().__init__()
        self.first = ConvNormRelu(before, features, side)
        self.second = ConvNormRelu(features, features)

    def forward(self, x: Tensor, side: Tensor | None = None) -> Tensor:
        """Maps `n c h w` to `n features h w`."""
        return self.second(self.first(x, side))


class Encoder(nn.ModuleDict):
    """As `vfseg.models.attention_unet.Encoder`."""

    def __init__(self, channels: int, features: Sequence[int]):
        before = [channels, *features[:-1]]
        super().__init__(
            {f"scale{s}": DoubleConv(b, f) for s, (b, f) in enumerate(zip(before, features))}
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps slices `n c h w` to one `n f_s h/2**s w/2**s` per scale."""
        scales: list[Tensor] = []
        for block in self.values():
            x = block(F.max_pool2d(x, 2) if scales else x)
            scales.append(x)
        return scales


class AttentionGate(nn.Module):
    """As `vfseg.models.attention_unet.AttentionGate`."""

    def __init__(self, skip: int, gate: int, features: int):
        super().__init__()
        self.skip = nn.Conv2d(skip, features, 1, bias=False)
        self.gate = nn.Conv2d(gate, features, 1)
        self.psi = nn.Conv2d(features, 1, 1)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """Gates skips `n c 2h 2w` by `n c' h w`."""
        joint = F.relu(self.skip(x) + F.interpolate(self.gate(g), scale_factor=2))
        return x * torch.sigmoid(self.psi(joint).float()).to(x.dtype)


class ConvLSTM(nn.Module):
    """As `vfseg.models.conv_lstm.ConvLSTM`, one way only."""

    def __init__(self, before: int, features: int, window: int):
        super().__init__()
        self.forward_input = conv3x3(before, 4 * features, bias=True)
        self.forward_hidden = conv3x3(features, 4 * features)
        self.window = window

    def forward(self, run: Tensor, b: int) -> Tensor:
        """Maps features of runs `(b r) c h w` to states of their windows `(b k) f h w`."""
        k = run.shape[0] // b - self.window + 1
        gates = self.forward_input(run)
        c = h = None
        for step in range(self.window):
            x = windows(gates, b, step, k)
            if h is not None:  # the first h is 0
                x = x + self.forward_hidden(h)
            i, g, f, o = x.float().chunk(4, dim=1)
            new = torch.sigmoid(i) * torch.tanh(g)
            c = new if c is None else torch.sigmoid(f + 1) * c + new
            h = (torch.sigmoid(o) * torch.tanh(c)).to(gates.dtype)
        assert h is not None
        return h


def windows(x: Tensor, b: int, first: int, k: int) -> Tensor:
    """Slices first .. first + k - 1 of each run: `(b r) ...` -> `(b k) ...`, same memory format."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    x = x.movedim(1, -1) if last else x
    x = x.unflatten(0, (b, -1))[:, first : first + k].flatten(0, 1)
    return x.movedim(-1, 1) if last else x


class Decoder(nn.Module):
    """As `vfseg.models.attention_unet.Decoder`."""

    def __init__(
        self, features: Sequence[int], recurrent: Sequence[int], states: int, attention: bool
    ):
        super().__init__()
        self.coarsest = len(features) - 1
        self.attention = attention
        for scale, f in enumerate(features):
            side = states if scale in recurrent else 0
            if scale < self.coarsest:
                below = features[scale + 1]
                if attention:
                    self.add_module(f"gate{scale}", AttentionGate(f, below, max(f // 2, 1)))
                self.add_module(f"scale{scale}", DoubleConv(f + below, f, side))
            elif side:
                self.add_module(f"scale{scale}", DoubleConv(f, f, side))
        self.head = nn.Conv2d(features[0], 1, 1)

    def forward(self, skips: Sequence[Tensor], states: Mapping[int, Tensor]) -> Tensor:
        """Maps skips, and ConvLSTM features by scale, to logits `n h w`, float32."""
        x = skips[self.coarsest]
        if self.coarsest in states:
            block = self.get_submodule(f"scale{self.coarsest}")
            x = block(x, states[self.coarsest])
        for scale in reversed(range(self.coarsest)):
            skip = skips[scale]
            if self.attention:
                skip = self.get_submodule(f"gate{scale}")(skip, x)
            x = torch.cat([F.interpolate(x, scale_factor=2), skip], dim=1)
            x = self.get_submodule(f"scale{scale}")(x, states.get(scale))
        return self.head(x)[:, 0].float() + math.log(PRIOR / (1 - PRIOR))


class Generator(nn.Module):
    """As `vfseg.models.generator.Generator`, windows of neighbouring slices (dilation 1)."""

    def __init__(self, config: Config):
        super().__init__()
        network, self.window = config.generator, config.windows.length
        assert network.encoder == "plain", network.encoder
        assert not network.bidirectional
        features, states = network.features, network.recurrent_features
        self.recurrent = network.recurrent_scales if self.window > 1 else ()
        self.encoder = Encoder(len(config.hu_windows), features)
        for scale in self.recurrent:
            self.add_module(f"conv_lstm{scale}", ConvLSTM(features[scale], states, self.window))
        self.decoder = Decoder(features, self.recurrent, states, network.attention)

    def forward(self, run: Tensor, b: int) -> Tensor:
        """Maps `b` runs of slices `(b r) c h w` to logits of their targets `(b k) h w`."""
        k = run.shape[0] // b - self.window + 1
        scales = self.encoder(run)
        states = {s: self.get_submodule(f"conv_lstm{s}")(scales[s], b) for s in self.recurrent}
        skips = [windows(f, b, self.window // 2, k) for f in scales]
        return self.decoder(skips, states)


class SameConv(nn.Conv2d):
    """Padding "SAME": where it is odd, the larger part is at the end."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps `n c h w` to `n c' h/stride w/stride`, sizes rounded up."""
        pads = []
        for size in (x.shape[3], x.shape[2]):
            stride, kernel = self.stride[0], self.kernel_size[0]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


class Discriminator(nn.Module):
    """As `vfseg.models.discriminator.Discriminator`, without spectral norm."""

    def __init__(self, config: Config):
        super().__init__()
        assert not config.discriminator.spectral_norm
        before, features = len(config.hu_windows) + 1, config.discriminator.features
        self.count = len(features)
        for i, f in enumerate(features):
            stride = 1 if i == self.count - 1 else 2
            self.add_module(f"Conv_{i}", SameConv(before, f, 4, stride, bias=i == 0))
            if i:
                self.add_module(f"GroupNorm_{i - 1}", nn.GroupNorm(group_count(f), f, EPSILON))
            before = f
        self.head = SameConv(before, 1, 4)

    def forward(self, ct: Tensor, fracture: Tensor) -> Tensor:
        """Maps CT slices `n c h w` and fracture maps `n h w` to logits `n h' w'`, float32."""
        x = torch.cat([ct, 2 * fracture[:, None] - 1], dim=1)
        for i in range(self.count):
            x = self.get_submodule(f"Conv_{i}")(x)
            if i:
                x = self.get_submodule(f"GroupNorm_{i - 1}")(x)
            x = F.leaky_relu(x, 0.2)
        return self.head(x)[:, 0].float()


def to_channels(ct: Tensor, hu_windows: Sequence[tuple[float, float]]) -> Tensor:
    """As `vfseg.crops.intensity.to_channels`: `n h w` HU to `n c h w` in -1..1."""
    ct = ct.float()
    scaled = [2 * (ct.clamp(low, high) - low) / (high - low) - 1 for low, high in hu_windows]
    return torch.stack(scaled, dim=1)


def load(network: nn.Module, params: Any) -> None:
    """Copies Flax parameters into a twin; every tensor must find its place."""
    flat = flax.traverse_util.flatten_dict(params)
    names = {_name(path, network): path for path in flat}
    network.load_state_dict(
        {name: _to_torch(np.asarray(flat[path])) for name, path in names.items()}, strict=True
    )


def to_flax(tensors: Mapping[str, Tensor], network: nn.Module, like: Any) -> Any:
    """The way back: tensors by the names of a twin's parameters, as a tree like `like`."""
    flat = flax.traverse_util.flatten_dict(like)
    return flax.traverse_util.unflatten_dict(
        {path: _to_numpy(tensors[_name(path, network)], leaf.ndim) for path, leaf in flat.items()}
    )


def _name(path: tuple[str, ...], network: nn.Module) -> str:
    """Name of a twin's parameter."""
    *modules, leaf = path
    if isinstance(network, Generator):
        modules = [_LAYERS.get(module, module) for module in modules]
        if modules[0].startswith("conv_lstm"):  # flax: forward_input, forward / hidden
            modules = [modules[0], "_".join(modules[1:])]
    return ".".join([*modules, _LEAVES[leaf]])


def _to_torch(leaf: np.ndarray) -> Tensor:
    """Kernels `h w i o` and `i o` -> `o i h w`; others as they are."""
    if leaf.ndim == 2:
        leaf = leaf[None, None]
    return torch.from_numpy(np.array(leaf.transpose(3, 2, 0, 1) if leaf.ndim == 4 else leaf))


def _to_numpy(tensor: Tensor, ndim: int) -> np.ndarray:
    array = tensor.detach().float().cpu().numpy()
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
    return array[0, 0] if ndim == 2 else array
