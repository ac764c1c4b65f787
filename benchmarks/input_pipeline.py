"""Feeding: windows per second out of a cold store, beside a PyTorch DataLoader on the same crops.

`python -m benchmarks.input_pipeline [--quick] [--json FILE]`   (PyTorch: `pip install torch`)

The store is synthetic and of a real size: 30 cases of 14 crops of 96^3 voxels, noise that
compresses like CT (about 1.1 GB in memory, more than the cache of decoded crops). Windows are the
quickstart's: sagittal, 5 slices, 4 targets a run, batches of 4 runs, shuffled over all crops.

Each round runs every competitor once in a process of its own. Cold: the system is asked to drop the
files from its page cache with `posix_fadvise(DONTNEED)`, where it has that; a disk or a hypervisor
below may keep a copy all the same. Time runs from the first batch delivered to the last one; what
it takes to start (arrays opened, threads or processes begun) is given beside it. Both use the
number of readers that the table names: threads in vfseg, processes in PyTorch. The DataLoader reads
the same slices from the same zarr arrays, with TensorStore, through a Dataset as a user of PyTorch
would write it.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import workers
from vfseg.data.settings import PLANE_AXES

CASES, CROPS, CROP = 30, 14, (96, 96, 96)
QUICK_CASES, QUICK_CROPS, QUICK_CROP = 4, 3, (48, 48, 48)
BATCHES, QUICK_BATCHES = 200, 20
BATCH, TARGETS, LENGTH = 4, 4, 5
READERS = 2
ROUNDS = 3
STEP_SECONDS = 0.4  # of the quickstart on 2 cores, for quick runs
NEEDED = 3.0  # times what a training step takes: the least that the feed should deliver


def make_store(store: str, quick: bool) -> None:
    """Crops with a fracture in every fourth, in a fifth of its slices."""
    from vfseg.crops.store import CaseRecord, CropRecord, write_case

    cases, crops, shape = (QUICK_CASES, QUICK_CROPS, QUICK_CROP) if quick else (CASES, CROPS, CROP)
    rng = np.random.default_rng(0)
    affine = tuple(tuple(row) for row in np.diag([1.25, 1.25, 1.25, 1.0]).tolist())
    for case in range(cases):
        arrays = {
            "ct": rng.normal(100, 30, (crops, *shape)).astype(np.int16),
            "fractures": np.zeros((crops, *shape), np.uint8),
        }
        middle = tuple(slice(int(0.4 * n), int(0.6 * n)) for n in shape)
        arrays["fractures"][(slice(None, None, 4), *middle)] = 1
        records = []
        for mask in arrays["fractures"]:
            slices = {
                plane: np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))).tolist()
                for plane, axis in PLANE_AXES.items()
            }
            records.append(CropRecord("L1", 20, (0, 0, 0), int(mask.sum()), slices, affine=affine))
        name = f"case{case}"
        write_case(Path(store), CaseRecord(name, name, "", 1.25, shape, tuple(records)), arrays)


def drop_from_cache(store: Path) -> bool:
    """Asks the system to drop the files from its page cache; False where it cannot be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    os.sync()  # what is not on the disk yet cannot be dropped
    for path in store.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
    return True


def source_of(store: Path):
    """The sequence of runs of slices that both competitors read."""
    from vfseg.crops.settings import WindowSettings
    from vfseg.crops.store import read_record
    from vfseg.crops.windows import RunSource

    settings = WindowSettings(
        planes=("sagittal",),
        length=LENGTH,
        stride_mm=1.25,
        targets=TARGETS,
        batch_size=BATCH,
        positive_share=0.5,
    )
    records = [read_record(store, path.name).record for path in sorted(store.glob("case*"))]
    kept = [record for record in records if record is not None]
    return RunSource(store, kept, settings, seed=0, length=10**6)


def vfseg() -> Callable[[Path], Iterator]:
    """Imports, then gives the feed that the training loop uses."""
    from vfseg.crops.windows import BatchFeed

    def batches(store: Path) -> Iterator:
        feed = BatchFeed(source_of(store), BATCH)
        return iter(lambda: next(feed), None)

    return batches


class PlainDataset:
    """What a user of PyTorch would write: open the arrays once per process, read the slices."""

    def __init__(self, store: str, places: list[tuple[str, int, int]]):
        self._store, self._places, self._open = store, places, {}

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        case, crop, first = self._places[index]
        if case not in self._open:
            import tensorstore as ts

            self._open[case] = [
                ts.open(
                    {
                        "driver": "zarr3",
                        "kvstore": {"driver": "file", "path": f"{self._store}/{case}/{name}/"},
                        "context": {"cache_pool": {"total_bytes_limit": 2**30 // CASES}},
                    },
                    read=True,
                ).result()
                for name in ("ct", "fractures")
            ]
        ct, fractures = self._open[case]
        size = ct.shape[-1]
        run = np.clip(np.arange(first - LENGTH // 2, first + TARGETS + LENGTH // 2), 0, size - 1)
        slices = ct[crop, :, :, int(run.min()) : int(run.max()) + 1].read().result()
        target = fractures[crop, :, :, first : first + TARGETS].read().result()
        moved = np.moveaxis(slices[..., run - run.min()], -1, 0)
        return np.ascontiguousarray(moved), (np.moveaxis(target, -1, 0) != 0).astype(np.uint8)


def pytorch() -> Callable[[Path], Iterator]:
    """Imports, then gives a DataLoader over the places that the source of vfseg visits."""
    from torch.utils.data import DataLoader

    import vfseg.crops.windows  # noqa: F401

    def batches(store: Path) -> Iterator:
        source, names = source_of(store), sorted(path.name for path in store.glob("case*"))
        found = map(source.locate, range(BATCH * BATCHES))
        places = [(names[run.case], run.crop, run.first) for run in found]
        loader = DataLoader(
            PlainDataset(str(store), places),  # type: ignore[arg-type]
            batch_size=BATCH,
            num_workers=READERS,
            prefetch_factor=4,
            multiprocessing_context="spawn",  # TensorStore has threads, which no fork survives
        )
        return iter(loader)

    return batches


COMPETITORS = {"vfseg": vfseg, "PyTorch": pytorch}
PACKAGES = {"vfseg": "vfseg", "PyTorch": "torch"}


def worker(name: str, folder: str, batches: int) -> None:
    """Runs one competitor; its answer is its seconds, and those until the first batch."""
    competitor, store = COMPETITORS[name](), Path(folder)
    drop_from_cache(store)
    begin = time.perf_counter()
    feed = competitor(store)
    next(feed)
    start = time.perf_counter()
    for _ in range(batches - 1):
        next(feed)
    workers.answer({"seconds": time.perf_counter() - start, "first": start - begin})
    os._exit(0)  # readers that are still ahead need not be waited for


def step_seconds(quick: bool) -> tuple[float, str]:
    """Time of one training step of the quickstart, and where that figure comes from."""
    if quick:
        return STEP_SECONDS, f"{STEP_SECONDS} s, as measured for the quickstart on 2 cores"
    from benchmarks.configs import quickstart
    from benchmarks.stepper import ADVERSARIAL, Stepper
    from benchmarks.timing import median_seconds

    return median_seconds(Stepper(quickstart(), phase=ADVERSARIAL), 10), "measured in this run"


def main() -> None:
    """Makes the store, runs the competitors by turns, prints a table and the reserve."""
    from benchmarks import command, timing
    from benchmarks.environment import installed

    args = command.arguments(__doc__ or "")
    batches = QUICK_BATCHES if args.quick else BATCHES
    names = [name for name in COMPETITORS if installed(PACKAGES[name])]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    first: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        workers.call("benchmarks.input_pipeline", "make_store", folder, args.quick)
        cold = drop_from_cache(Path(folder))
        for turn in range(1 if args.quick else ROUNDS):
            for name in map(str, np.roll(names, -turn)):
                found = workers.call("benchmarks.input_pipeline", "worker", name, folder, batches)
                seconds[name].append(found["seconds"])
                first[name].append(found["first"])
    remarks = {
        name: {
            "first batch": f"{np.median(first[name]):.2f} s",
            "version": installed(PACKAGES[name]),
        }
        for name in names
    }
    title = (
        f"{batches} batches of {BATCH} runs of {TARGETS} windows, {READERS} readers, shuffled, "
        + ("files out of the page cache" if cold else "page cache not emptied")
    )
    table = timing.tabulate(
        timing.Task(title, float((batches - 1) * BATCH * TARGETS), "windows/s"),
        seconds,
        baseline=names[-1],
        remarks=remarks,
    )
    command.publish([table], args.json)
    step, where = step_seconds(args.quick)
    needed = BATCH * TARGETS / step
    reserve = table.rows[0].rate / needed
    print(
        f"a training step takes {step:.3f} s ({where}): {needed:.0f} windows/s. The feed delivers "
        f"{reserve:.1f} times that; goal: at least {NEEDED:.0f}"
    )
    if "PyTorch" not in names:
        print("PyTorch: not installed, its row is left out")


if __name__ == "__main__":
    main()
