"""State dicts as torchvision and timm save them, of random numbers."""

import numpy as np
from safetensors.numpy import save_file


def write_weights(path, tensors):
    """Writes arrays by name as the file's name says: `.safetensors`, `.pth`, or `legacy.pth`.

    `legacy.pth` is the format before PyTorch 1.6.
    """
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        import torch

        state = {name: torch.from_numpy(np.asarray(array)) for name, array in tensors.items()}
        torch.save(state, path, _use_new_zipfile_serialization=path.name != "legacy.pth")
    return path


def resnet18_state_dict(seed=0):
    """Random arrays under the names and shapes of torchvision's ResNet18, classifier included."""
    rng = np.random.default_rng(seed)
    tensors = {}

    def conv(name, norm, shape):
        features = shape[:1]
        scale = np.sqrt(1 / np.prod(shape[1:]))
        tensors[f"{name}.weight"] = rng.normal(0, scale, shape)
        tensors[f"{norm}.weight"] = rng.uniform(0.5, 1.5, features)
        tensors[f"{norm}.bias"] = rng.normal(0, 0.5, features)
        tensors[f"{norm}.running_mean"] = rng.normal(0, 0.5, features)
        tensors[f"{norm}.running_var"] = rng.uniform(0.5, 2, features)

    conv("conv1", "bn1", (64, 3, 7, 7))
    before = 64
    for layer, features in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            at = f"layer{layer}.{block}"
            conv(f"{at}.conv1", f"{at}.bn1", (features, before, 3, 3))
            conv(f"{at}.conv2", f"{at}.bn2", (features, features, 3, 3))
            if before != features:
                conv(f"{at}.downsample.0", f"{at}.downsample.1", (features, before, 1, 1))
            before = features
    tensors["fc.weight"], tensors["fc.bias"] = rng.normal(size=(1000, 512)), np.zeros(1000)
    return {name: array.astype(np.float32) for name, array in tensors.items()}
