"""A probability map that is 0 outside one box of a CT: only the box is kept."""

from collections.abc import Iterator

import numpy as np

from vfseg.data.probability import BINS, score_bin

Box = tuple[slice, slice, slice]


class BoxedMap:
    """Looks like a float32 `d h w` array where it is read by slices, and holds a small part of it.

    The values are kept as the codes of `probability.nii.gz`, so reading them gives what the file
    gives.

    Attributes:
        shape: of the whole map.
        dtype: of what is read, float32.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, shape: tuple[int, int, int], box: Box):
        """A map of zeros.

        Args:
            shape: (d, h, w) of the CT.
            box: with starts and stops; what lies outside stays 0.
        """
        self.shape = shape
        self._box = box
        self._codes = np.zeros([side.stop - side.start for side in box], np.uint16)

    @property
    def box(self) -> Box:
        """Outside of it all is 0."""
        return self._box

    def fill(self, part: Box, values: np.ndarray) -> None:
        """Sets a part of the map; values outside the box are dropped.

        Args:
            part: of the map, with starts and stops.
            values: probabilities in [0, 1] of that part.
        """
        own, given = self._overlap(part)
        self._codes[own] = score_bin(values[given])

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        for d in range(len(self)):
            yield self[d]

    def __getitem__(self, key: int | slice | tuple[slice, ...]) -> np.ndarray:
        """The values of one plane (an index along d), or of a part (slices without a step)."""
        if not isinstance(key, slice | tuple):
            index = range(len(self))[key]
            return self[index : index + 1][0]
        sides = (*(key if isinstance(key, tuple) else (key,)), slice(None), slice(None))[:3]
        d, h, w = (slice(*side.indices(n)[:2]) for side, n in zip(sides, self.shape))
        values = np.zeros([max(side.stop - side.start, 0) for side in (d, h, w)], np.float32)
        own, given = self._overlap((d, h, w))
        values[given] = self._codes[own] * np.float32(1 / (BINS - 1))
        return values

    def _overlap(self, part: Box) -> tuple[Box, Box]:
        """The common voxels of a part and the box, as slices of the codes and of the part."""
        own, given = [], []
        for side, box in zip(part, self._box):
            low, high = max(side.start, box.start), min(side.stop, box.stop)
            high = max(low, high)
            own.append(slice(low - box.start, high - box.start))
            given.append(slice(low - side.start, high - side.start))
        return tuple(own), tuple(given)  # type: ignore[return-value]
