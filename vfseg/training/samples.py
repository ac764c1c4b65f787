"""Pictures of what a network sees, should see and does see, for TensorBoard."""

import numpy as np

BONE_HU = (0, 1000)
"""Window of the pictures, HU: black and white ends."""


def side_by_side(ct: np.ndarray, truth: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """CT, true fracture and predicted probability of a slice, from left to right.

    Args:
        ct: `h w` HU.
        truth: `h w`, not zero where there is a fracture.
        probability: `h w`, 0..1.

    Returns:
        `h 3w 3` uint8. Truth and probability are red on the CT, the redder the likelier.
    """
    low, high = BONE_HU
    grey = np.clip((ct.astype(np.float32) - low) / (high - low), 0, 1)

    def reddened(share: np.ndarray) -> np.ndarray:
        rest = grey * (1 - share)
        return np.stack([np.maximum(grey, share), rest, rest], axis=-1)

    parts = [np.zeros_like(grey), truth != 0, np.clip(probability, 0, 1)]
    # Superior and anterior grow with the index: up in a picture is the other way.
    picture = np.concatenate([reddened(part.astype(np.float32)) for part in parts], axis=1)[::-1]
    return np.rint(255 * picture).astype(np.uint8)


def best_slice(truth: np.ndarray, axis: int) -> int:
    """The slice of a crop `d h w` that shows most of its fractures along an axis, or the middle."""
    others = tuple({0, 1, 2} - {axis})
    shown = np.count_nonzero(truth, axis=others)
    return int(shown.argmax()) if shown.any() else len(shown) // 2
