"""Windows of slices, fed by Grain: balanced, shuffled, a pure function of seed and position.

A sample is a *run*: the slices that k neighbouring target slices need. With window length T and
stride s (in slices), a run has r = k + (T - 1) s neighbouring slices, and target j is the middle
of the window j, j + s, ... . A single target needs no slices in between: then r = T, s apart.
Slices beyond the crop repeat its edge slice.

One model may learn from several planes at once. Each plane has runs of its own, cut along another
axis of the same crops, and every batch mixes the planes.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from vfseg.crops.settings import WindowSettings
from vfseg.crops.store import CaseArrays, CaseRecord, read_crops
from vfseg.data.settings import PLANE_AXES
from vfseg.errors import UserError


def run_slices(
    settings: WindowSettings, first: int, crop_slices: int, voxel_spacing: float
) -> np.ndarray:
    """Indices [r] of the slices of the run whose first target is slice `first` of the crop.

    Args:
        settings: how windows are drawn.
        first: number of the slice.
        crop_slices: of the crop, along the axis of the plane.
        voxel_spacing: of the crop, mm.
    """
    stride = settings.stride(voxel_spacing)
    reach = settings.length // 2 * stride
    step = stride if settings.targets == 1 else 1
    run = np.arange(first - reach, first + settings.targets + reach, step)
    return np.clip(run, 0, crop_slices - 1)


class SliceRun(NamedTuple):
    """Where a sample is cut.

    Attributes:
        plane: place in `WindowSettings.planes`.
        case: place in the records.
        crop: number in the case.
        first: first target slice.
    """

    plane: int
    case: int
    crop: int
    first: int


class RunSource:
    """Random access to the endless, shuffled, balanced sequence of runs.

    Global batch g takes the slots g * batch_size .. ; the first `positive_share` of them take the
    runs that show a fracture, the others those that do not. Slot s belongs to plane (g + s) mod P:
    the positives and the negatives of a batch are each spread over the P planes as evenly as their
    number allows, and the remainder moves on by a plane with every batch, so that P batches
    together give each plane the same number. The runs of a plane that show a fracture, and those
    that do not, are taken in a new shuffled order every time they are used up. So sample i depends
    on the seed and on i alone: any process can compute its part, and to resume takes no more than a
    number.
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
            UserError: runs with a fracture are asked for and no crop shows one, or the reverse.
        """
        self._settings, self._seed, self._length = settings, seed, length
        self._spacing = records[0].voxel_spacing
        self._shape = records[0].crop_shape
        self._arrays = [CaseArrays(store, record) for record in records]
        size, planes = settings.batch_size, len(settings.planes)
        positive_slots = round(settings.positive_share * size)
        self._slots = {True: positive_slots, False: size - positive_slots}
        self._plane, self._ordinal = _deal(planes, positive_slots, size)
        self._runs: dict[tuple[int, bool], np.ndarray] = {}
        for number, plane in enumerate(settings.planes):
            for positive, runs in self._index(plane, records).items():
                self._runs[number, positive] = runs
                if self._slots[positive] and not len(runs):
                    raise UserError(
                        f"no {plane} run of the training cases shows "
                        f"{'a fracture' if positive else 'healthy bone only'}, but "
                        f"windows.positive_share={settings.positive_share} asks for them. Check "
                        "the fracture masks with --mode audit, or change the fraction."
                    )

    def _index(self, plane: str, records: Sequence[CaseRecord]) -> dict[bool, np.ndarray]:
        """Case, crop and first target `n 3` of the runs that show a fracture, and of the others."""
        slices, targets = self._shape[PLANE_AXES[plane]], self._settings.targets
        firsts = np.arange(slices - targets + 1)
        found: dict[bool, list[np.ndarray]] = {True: [], False: []}
        for case, record in enumerate(records):
            for number, crop in enumerate(record.crops):
                shown = np.zeros(slices, bool)
                shown[crop.fractured_slices[plane]] = True
                within = np.lib.stride_tricks.sliding_window_view(shown, targets).any(1)
                runs = np.stack(np.broadcast_arrays(case, number, firsts), axis=1)
                for positive, chosen in ((True, within), (False, ~within)):
                    found[positive].append(runs[chosen])
        empty = np.zeros((0, 3), int)
        return {positive: np.concatenate([empty, *runs]) for positive, runs in found.items()}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Sample `index`: `ct` int16 HU `r h w`, `target` uint8 0/1 `k h w`, `plane` int32.

        The plane is its index among all `PLANE_AXES`, whichever of them are chosen.
        """
        number, case, crop, first = self.locate(int(index))
        settings = self._settings
        axis = PLANE_AXES[settings.planes[number]]
        run = run_slices(settings, first, self._shape[axis], self._spacing)
        arrays = self._arrays[case]
        ct = _read(arrays.ct, axis, crop, int(run.min()), int(run.max()) + 1)
        target = _read(arrays.fractures, axis, crop, first, first + settings.targets)
        return {
            "ct": ct[run - run.min()],
            "target": (target != 0).astype(np.uint8),
            "plane": np.int32(axis),
        }

    def locate(self, index: int) -> SliceRun:
        """Where sample `index` is cut."""
        batch, slot = divmod(index, self._settings.batch_size)
        turn, part = divmod(batch, len(self._settings.planes))
        positive = slot < self._slots[True]
        plane = int(self._plane[part, slot])
        runs = self._runs[plane, positive]
        ordinal = turn * self._slots[positive] + int(self._ordinal[part, slot])
        epoch, place = divmod(ordinal, len(runs))
        order = _order(self._seed, plane, positive, epoch, len(runs))
        case, crop, first = runs[order[place]]
        return SliceRun(plane, int(case), int(crop), int(first))


@functools.lru_cache(maxsize=12)  # two rounds of each kind of three planes; safe among threads
def _order(seed: int, plane: int, positive: bool, epoch: int, runs: int) -> np.ndarray:
    """Order of the runs of a kind in their `epoch`-th round, `n`."""
    # The first plane has the order that it would have alone.
    further = [plane] if plane else []
    return np.random.default_rng([seed, int(positive), epoch, *further]).permutation(runs)


def _deal(planes: int, positive_slots: int, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """Deals the slots of `planes` batches, after which the dealing begins anew.

    Args:
        planes: their number, P.
        positive_slots: the first of the slots of a batch, for runs that show a fracture.
        slots: all of a batch.

    Returns:
        The plane of each slot and how many slots of its kind that plane had before it in these
        batches: `P slots` each.
    """
    plane = np.add.outer(np.arange(planes), np.arange(slots)) % planes
    ordinal = np.zeros_like(plane)
    for number in range(planes):
        for kind in (slice(0, positive_slots), slice(positive_slots, slots)):
            mine = plane[:, kind] == number
            ordinal[:, kind][mine] = np.arange(mine.sum())
    return plane, ordinal


def _read(array: Any, axis: int, crop: int, first: int, last: int) -> np.ndarray:
    """Slices [first, last) of a crop along an axis of `d h w`, slices leading."""
    index = (crop,) + (slice(None),) * axis + (slice(first, last),)
    return np.moveaxis(read_crops(array, index), axis, 0)


class _ProcessPart:
    """The samples of one process: of every batch the part that its devices hold.

    Parts are cut, not dealt, so that a sample keeps its place in the global batch, on which the
    random numbers of its augmentation depend.
    """

    def __init__(self, source: RunSource, batch_size: int, process: int, processes: int):
        self._source, self._batch_size = source, batch_size
        self._size = batch_size // processes
        self._first = process * self._size

    def __len__(self) -> int:
        return len(self._source) // self._batch_size * self._size

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        batch, slot = divmod(int(index), self._size)
        return self._source[batch * self._batch_size + self._first + slot]


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
        import grain  # with Orbax, a third of a second that only training has to wait

        self._batch_size, self._source = batch_size, source
        part = grain.MapDataset.source(_ProcessPart(source, batch_size, process, processes))
        batches = part.batch(batch_size // processes, drop_remainder=True)
        reading = grain.ReadOptions(num_threads=2, prefetch_buffer_size=8)
        self._iterator = iter(batches.to_iter_dataset(reading))

    def __next__(self) -> dict[str, np.ndarray]:
        """Next batch: `ct` int16 `b r h w`, `target` uint8 `b k h w`, `plane` int32 `b`."""
        return next(self._iterator)

    @property
    def shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """What the batches of all processes together look like; none is drawn."""
        sample = {name: np.asarray(array) for name, array in self._source[0].items()}
        return {
            name: jax.ShapeDtypeStruct((self._batch_size, *array.shape), array.dtype)
            for name, array in sample.items()
        }

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
