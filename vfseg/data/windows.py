"""Windows of slices, fed by Grain: balanced, shuffled, a pure function of seed and position.

A sample is a *run*: the slices that k neighbouring target slices need. With window length T and
stride s (in slices), a run has r = k + (T - 1) s neighbouring slices, and target j is the middle
of the window j, j + s, ... . A single target needs no slices in between: then r = T, s apart.
Slices beyond the crop repeat its edge slice.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grain
import numpy as np

from vfseg.data.prepare import PLANES
from vfseg.data.store import CaseArrays, CaseRecord
from vfseg.errors import UserError


@dataclasses.dataclass(frozen=True)
class WindowSettings:
    """How windows are drawn.

    Attributes:
      plane: axial, coronal or sagittal.
      length: slices of a window, T, odd.
      stride_mm: distance between the slices of a window; rounded to whole voxels, at least one.
      targets: neighbouring target slices of a run, k; 1 is the plain window.
      batch_size: runs of a global batch.
      positive_share: share of runs of a batch whose targets show a fracture.
    """

    plane: str
    length: int
    stride_mm: float
    targets: int
    batch_size: int
    positive_share: float

    def stride(self, voxel_spacing: float) -> int:
        """Stride in slices of the crop."""
        return max(1, round(self.stride_mm / voxel_spacing))

    def run_slices(self, first: int, crop_slices: int, voxel_spacing: float) -> np.ndarray:
        """Indices [r] of the slices of the run whose first target is slice `first` of the crop."""
        stride = self.stride(voxel_spacing)
        reach = self.length // 2 * stride
        step = stride if self.targets == 1 else 1
        run = np.arange(first - reach, first + self.targets + reach, step)
        return np.clip(run, 0, crop_slices - 1)


class RunSource:
    """Random access to the endless, shuffled, balanced sequence of runs.

    Global batch g takes the slots g * batch_size .. ; the first `positive_share` of them go through
    the runs that show a fracture, the others through those that do not, each in a new shuffled
    order every time it is used up. Hence sample i depends on the seed and on i alone: any process
    can compute its share, and resuming needs no more than a number.
    """

    def __init__(
        self,
        store: Path,
        records: Sequence[CaseRecord],
        settings: WindowSettings,
        *,
        seed: int,
        length: int,
    ):
        """Indexes the runs of all crops; reads no voxels.

        Args:
          store: folder of the store.
          records: cases to draw from.
          settings: how windows are drawn.
          seed: of the shuffling.
          length: samples after which the sequence ends.

        Raises:
          UserError: a positive share is asked for and no crop shows a fracture, or the reverse.
        """
        self._settings, self._seed, self._length = settings, seed, length
        self._spacing = records[0].voxel_spacing
        self._axis = PLANES[settings.plane]
        self._slices = records[0].crop_shape[self._axis]
        self._arrays = [CaseArrays(store, record.case_id) for record in records]
        positive: list[tuple[int, int, int]] = []
        negative: list[tuple[int, int, int]] = []
        firsts = np.arange(self._slices - settings.targets + 1)
        for case, record in enumerate(records):
            for number, crop in enumerate(record.crops):
                shown = np.zeros(self._slices, bool)
                shown[crop.fractured_slices[settings.plane]] = True
                within = np.lib.stride_tricks.sliding_window_view(shown, settings.targets).any(1)
                for runs, chosen in ((positive, within), (negative, ~within)):
                    runs += [(case, number, first) for first in firsts[chosen]]
        self._runs = {True: np.array(positive), False: np.array(negative)}
        self._positive_slots = round(settings.positive_share * settings.batch_size)
        for kind, slots in ((True, self._positive_slots), (False, self._negative_slots)):
            if slots and not len(self._runs[kind]):
                raise UserError(
                    f"no {settings.plane} run of the training cases shows "
                    f"{'a fracture' if kind else 'healthy bone only'}, but windows.positive_share="
                    f"{settings.positive_share} asks for them. Check the fracture masks with "
                    "--mode audit, or change the share."
                )

    @property
    def _negative_slots(self) -> int:
        return self._settings.batch_size - self._positive_slots

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Sample `index`: `ct` int16 HU `r h w` and `target` uint8 0/1 `k h w`."""
        case, number, first = self.locate(int(index))
        settings = self._settings
        run = settings.run_slices(first, self._slices, self._spacing)
        ct = self._read(self._arrays[case].ct, number, int(run.min()), int(run.max()) + 1)
        target = self._read(self._arrays[case].fractures, number, first, first + settings.targets)
        return {"ct": ct[run - run.min()], "target": (target != 0).astype(np.uint8)}

    def locate(self, index: int) -> tuple[int, int, int]:
        """Case, crop and first target slice of sample `index`."""
        batch, slot = divmod(index, self._settings.batch_size)
        positive = slot < self._positive_slots
        runs = self._runs[positive]
        slots = self._positive_slots if positive else self._negative_slots
        ordinal = batch * slots + (slot if positive else slot - self._positive_slots)
        epoch, place = divmod(ordinal, len(runs))
        case, number, first = runs[self._order(positive, epoch)[place]]
        return int(case), int(number), int(first)

    def _order(self, positive: bool, epoch: int) -> np.ndarray:
        """Order of the runs in their `epoch`-th round; the last two rounds are remembered."""
        cache = self.__dict__.setdefault("_orders", {})
        key = (positive, epoch)
        if key not in cache:
            stream = np.random.default_rng([self._seed, int(positive), epoch])
            cache[key] = stream.permutation(len(self._runs[positive]))
            cache.pop((positive, epoch - 2), None)
        return cache[key]

    def _read(self, array: Any, crop: int, first: int, last: int) -> np.ndarray:
        """Slices [first, last) of a crop in the plane, slices leading."""
        index = (crop,) + (slice(None),) * self._axis + (slice(first, last),)
        return np.moveaxis(array[index].read().result(), self._axis, 0)


class BatchFeed:
    """Endless batches of one process, read ahead by threads; its position is a global number.

    The position is the index of the next sample of the global sequence, the same for every process
    and every number of processes, so a run continues on another machine with nothing seen twice
    and nothing skipped.
    """

    def __init__(self, source: RunSource, batch_size: int, *, process: int = 0, processes: int = 1):
        """Starts at sample 0.

        Args:
          source: the global sequence.
          batch_size: of the global batch.
          process: index of this process.
          processes: their number; divides `batch_size`.

        Raises:
          UserError: the batch does not divide among the processes.
        """
        if batch_size % processes:
            raise UserError(
                f"windows.batch_size={batch_size} does not divide among {processes} processes. "
                "Choose a multiple."
            )
        self._batch_size = batch_size
        share = grain.MapDataset.source(source)[process::processes]
        batches = share.batch(batch_size // processes, drop_remainder=True)
        reading = grain.ReadOptions(num_threads=2, prefetch_buffer_size=8)
        self._iterator = iter(batches.to_iter_dataset(reading))

    def __next__(self) -> dict[str, np.ndarray]:
        """Next batch: `ct` int16 `b r h w`, `target` uint8 `b k h w`."""
        return next(self._iterator)

    @property
    def position(self) -> int:
        """Global index of the next sample."""
        return self._iterator.get_state()["next_index"] * self._batch_size

    @position.setter
    def position(self, sample: int) -> None:
        batch, rest = divmod(int(sample), self._batch_size)
        if rest:
            raise UserError(
                f"the checkpoint stopped at sample {sample}, inside a batch of {self._batch_size}. "
                "Resume with the windows.batch_size that wrote it."
            )
        self._iterator.set_state({"next_index": batch})

    def close(self) -> None:
        """Stops the reading threads."""
        self._iterator.close()
