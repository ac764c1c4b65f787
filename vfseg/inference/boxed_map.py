"""A probability map that is 0 outside one box of a CT: only the box is kept."""

from collections.abc import Iterator

import numpy as np

from vfseg.data.box import Box, box_between, overlap, shape_of
from vfseg.data.probability import code_score, score_bin


class BoxedMap:
    """Is read like a float32 `d h w` array, plane by plane or by slices, and holds its box alone.

    The values are kept as the codes of `probability.nii.gz`, so reading them gives what reading
    the file gives, to the last bit.

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
        self._codes = np.zeros(shape_of(box), np.uint16)

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
        held, given = overlap(self._box, part)
        self._codes[held] = score_bin(values[given])

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        for d in range(len(self)):
            yield self[d]

    def __getitem__(self, key: int | slice | tuple[slice, ...]) -> np.ndarray:
        """The values of one plane (an index along d), or of a part (up to three slices).

        Raises:
            IndexError: the index lies outside, or the key is of another kind: a slice with a step,
                an index within a tuple, an array.
        """
        if isinstance(key, int | np.integer):
            index = range(len(self))[key]
            return self[index : index + 1][0]
        sides = key if isinstance(key, tuple) else (key,)
        plain = all(isinstance(side, slice) and side.step in (None, 1) for side in sides)
        if not plain or len(sides) > 3:
            raise IndexError(f"a map is read by a plane or by slices without a step, not by {key}")
        sides = (*sides, slice(None), slice(None))[:3]
        start, stop, _ = zip(*(side.indices(size) for side, size in zip(sides, self.shape)))
        part = box_between(start, np.maximum(start, stop))
        values = np.zeros(shape_of(part), np.float32)
        held, given = overlap(self._box, part)
        values[given] = code_score(self._codes[held])
        return values


ProbabilityMap = np.ndarray | BoxedMap
"""A map `d h w` in [0, 1], whole or boxed: read plane by plane or by slices."""
