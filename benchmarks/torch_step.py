"""The training step of the twin: the same losses, updates and running mean as `vfseg.training`.

As the package's step it computes the generator's forward pass once: the discriminator learns from
its value, detached, and the generator then from the updated discriminator.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_modes import Mode, device
from benchmarks.torch_twin import Discriminator, Generator, load, to_channels, to_flax, windows
from vfseg.config.config import Config

SUPERVISED = ("l1", "dice", "cross_entropy")


class TorchStep:
    """A training step with everything that it changes; called with a batch, it returns the loss."""

    def __init__(self, config: Config, g_params: Any, d_params: Any, mode: Mode):
        """Copies the parameters.

        Args:
            config: of the training; only what the quickstart uses is implemented.
            g_params: of the generator, from Flax.
            d_params: of the discriminator, from Flax.
            mode: how to run it.
        """
        others = {
            n
            for n, weight in dataclasses.asdict(config.losses).items()
            if isinstance(weight, float)
        }
        others -= {*SUPERVISED, "adversarial"}
        assert not any(getattr(config.losses, name) for name in others), others
        train, self._losses, self._hu_windows = config.train, config.losses, config.hu_windows
        assert config.losses.adversarial_everywhere
        assert not train.weight_decay
        assert not train.gradient_clip
        self._mode, self._ema_decay = mode, train.ema_decay
        self.generator = put(Generator(config), g_params, mode)
        self.discriminator = put(Discriminator(config), d_params, mode)
        # The running mean follows the network that is trained, compiled or not.
        self.ema = [p.detach().clone() for p in self.generator.parameters()]
        fused = device().type == "cuda"
        self._g_optimizer = torch.optim.Adam(
            self.generator.parameters(), train.generator_learning_rate, fused=fused
        )
        self._d_optimizer = torch.optim.Adam(
            self.discriminator.parameters(),
            train.discriminator_learning_rate,
            betas=(0.5, 0.999),
            fused=fused,
        )
        self._generate, self._judge = (
            torch.compile(network, dynamic=False) if mode.compiled else network
            for network in (self.generator, self.discriminator)
        )

    def __call__(self, batch: Mapping[str, np.ndarray]) -> Tensor:
        """One step.

        Args:
            batch: `ct` int16 HU `b r h w`, `target` uint8 `b k h w`.

        Returns:
            The generator's loss.
        """
        where = device()
        ct = torch.from_numpy(batch["ct"]).to(where)
        target = torch.from_numpy(batch["target"]).to(where).flatten(0, 1).float()
        b, k = batch["target"].shape[:2]
        run = to_channels(ct.flatten(0, 1), self._hu_windows)
        run = run.contiguous(memory_format=self._mode.format)
        with self._mode.autocast():
            logits = self._generate(run, b)
        p = torch.sigmoid(logits)
        middle = windows(run, b, (batch["ct"].shape[1] - k) // 2, k)

        pairs = torch.cat([middle, middle]), torch.cat([target, p.detach()])
        real, fake = self._verdict(*pairs).chunk(2)
        d_loss = 0.5 * (_from(real, 1.0) + _from(fake, 0.0))
        _update(self._d_optimizer, d_loss)

        weights = self._losses
        overlap, size = (p * target).sum(), p.sum() + target.sum()
        loss = (
            weights.l1 * (p - target).abs().mean()
            + weights.dice * (1 - (2 * overlap + 1) / (size + 1))
            + weights.cross_entropy * F.binary_cross_entropy_with_logits(logits, target)
        )
        self.discriminator.requires_grad_(False)  # here it only passes the gradient on
        loss = loss + weights.adversarial * _from(self._verdict(middle, p), 1.0)
        _update(self._g_optimizer, loss)
        self.discriminator.requires_grad_(True)
        self._follow()
        return loss.detach()

    def gradients(self, g_params: Any, d_params: Any) -> tuple[Any, Any]:
        """Gradients of the first step, from the optimisers' first moments, as trees of Flax."""
        found = []
        for network, optimizer, like in (
            (self.generator, self._g_optimizer, g_params),
            (self.discriminator, self._d_optimizer, d_params),
        ):
            rest = 1 - optimizer.param_groups[0]["betas"][0]
            moments = {
                name: optimizer.state[p]["exp_avg"] / rest for name, p in network.named_parameters()
            }
            found.append(to_flax(moments, network, like))
        return found[0], found[1]

    def _verdict(self, ct: Tensor, fracture: Tensor) -> Tensor:
        with self._mode.autocast():
            return self._judge(ct, fracture)

    @torch.no_grad()
    def _follow(self) -> None:
        """The running mean of the parameters."""
        torch._foreach_lerp_(self.ema, list(self.generator.parameters()), 1 - self._ema_decay)


class TorchPredictor:
    """The twin predicts crops, slice by slice of one axis, edges repeated."""

    def __init__(self, config: Config, g_params: Any, mode: Mode, *, encode_once: bool):
        """Copies the parameters.

        Args:
            config: of the network.
            g_params: of the generator, from Flax.
            mode: how to run it.
            encode_once: the crop as one run of slices; else every window for itself.
        """
        self._network = put(Generator(config), g_params, mode).eval()
        self._run = torch.compile(self._network, dynamic=False) if mode.compiled else self._network
        self._mode, self._hu_windows, self._once = mode, config.hu_windows, encode_once
        self._length = config.windows.length

    @torch.inference_mode()
    def __call__(self, slices: np.ndarray) -> np.ndarray:
        """Probabilities `n h w` of slices `n h w`, int16 HU."""
        reach = self._length // 2
        near = np.clip(np.arange(-reach, len(slices) + reach), 0, len(slices) - 1)
        if not self._once:
            near = np.lib.stride_tricks.sliding_window_view(near, self._length).ravel()
        ct = torch.from_numpy(slices).to(device())[torch.from_numpy(near.copy()).to(device())]
        run = to_channels(ct, self._hu_windows).contiguous(memory_format=self._mode.format)
        with self._mode.autocast():
            logits = self._run(run, 1 if self._once else len(slices))
        return torch.sigmoid(logits).cpu().numpy()


def put(network: nn.Module, params: Any, mode: Mode) -> nn.Module:
    """A twin with these parameters on the device, in a mode's memory format."""
    load(network, params)
    return network.to(device(), memory_format=mode.format)


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _from(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))
