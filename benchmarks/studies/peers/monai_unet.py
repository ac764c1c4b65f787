"""MONAI's 3D `AttentionUnet`, trained on whole crops."""

import time
from pathlib import Path

import numpy as np
import torch
from monai import transforms
from monai.losses import DiceCELoss
from monai.networks.nets import AttentionUnet

from benchmarks.studies.peers.crops import Crops
from benchmarks.studies.peers.judge import CropFunction

CHANNELS = (16, 32, 64, 128)
BATCH = 4
RATE = 1e-3
FRACTURED_SHARE = 0.5
"""Of the crops of a batch that surely show a fracture, as in our recipe."""


def train(crops: Crops, hu_windows: np.ndarray, seconds: float, folder: Path, seed: int) -> None:
    """Trains for so long, and writes `model.pt`.

    AdamW and the loss of MONAI's segmentation tutorials (soft Dice and cross-entropy), a cosine
    schedule over the time, and augmentation of the kinds that our recipe has.

    Args:
        crops: to train on.
        hu_windows: `(low, high)` in HU, one a channel.
        seconds: of processor time.
        folder: of the model.
        seed: of parameters, order and augmentation.
    """
    torch.manual_seed(seed)
    rng, augment = np.random.default_rng(seed), _augmentation(seed)
    network = _network(len(hu_windows)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    loss = DiceCELoss(sigmoid=True)
    fractured = np.flatnonzero(crops.fractures.any(axis=(1, 2, 3)))
    begun, steps = time.process_time(), 0
    while (share := (time.process_time() - begun) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + np.cos(np.pi * share)) / 2
        many = round(FRACTURED_SHARE * BATCH)
        chosen = [*rng.choice(fractured, many), *rng.integers(len(crops.ct), size=BATCH - many)]
        batch = [
            augment({
                "ct": torch.from_numpy(_channels(crops.ct[i], hu_windows)),
                "fractures": torch.from_numpy(crops.fractures[i][None].astype(np.float32)),
            })
            for i in chosen
        ]  # fmt: skip
        ct, target = (torch.stack([one[key] for one in batch]) for key in ("ct", "fractures"))
        optimizer.zero_grad()
        loss(network(ct.as_tensor()), target.as_tensor()).backward()
        optimizer.step()
        steps += 1
    print(f"MONAI: {steps} steps of {BATCH} crops", flush=True)
    torch.save(network.state_dict(), folder / "model.pt")


def load(hu_windows: np.ndarray, folder: Path) -> CropFunction:
    """The trained network as a function of a crop; it answers for the mirrored crop, too."""
    network = _network(len(hu_windows)).eval()
    network.load_state_dict(torch.load(folder / "model.pt", weights_only=True))

    def predict(crop: np.ndarray) -> np.ndarray:
        channels = torch.from_numpy(_channels(crop, hu_windows))[None]
        with torch.inference_mode():
            both = network(torch.cat([channels, channels.flip(-1)])).sigmoid()
        return ((both[0, 0] + both[1, 0].flip(-1)) / 2).numpy()

    return predict


def _network(channels: int) -> torch.nn.Module:
    return AttentionUnet(3, channels, 1, CHANNELS, strides=(2,) * (len(CHANNELS) - 1))


def _channels(crop: np.ndarray, hu_windows: np.ndarray) -> np.ndarray:
    """Each window scaled to -1..1: `c d h w`."""
    low, high = np.asarray(hu_windows, np.float32).T[:, :, None, None, None]
    return np.clip((crop - low) / (high - low) * 2 - 1, -1, 1).astype(np.float32)


def _augmentation(seed: int) -> transforms.Compose:
    both, ct = ("ct", "fractures"), ("ct",)
    return transforms.Compose([
        transforms.RandFlipd(both, prob=0.5, spatial_axis=2),  # left and right
        transforms.RandAffined(
            both,
            prob=0.5,
            rotate_range=(0.14,) * 3,  # radians: 8 degrees
            scale_range=(0.08,) * 3,
            translate_range=(2,) * 3,
            mode=("bilinear", "nearest"),
            padding_mode="border",
        ),
        transforms.RandGaussianNoised(ct, prob=0.5, std=0.02),
        transforms.RandAdjustContrastd(ct, prob=0.3, gamma=(0.9, 1.1)),
    ]).set_random_state(seed)  # fmt: skip
