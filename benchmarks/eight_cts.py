"""Eight CTs, from files to what a training reads, beside MONAI and nnU-Net; and one large CT.

    python -m benchmarks.eight_cts [--quick] [--json FILE]   (the peers: pip install -e '.[bench]')

The CTs are synthetic (noise, gzip) with the label map of 14 vertebrae and the mask of two fractures
each. Each round runs every competitor once, in a process of its own that may start others, with all
files in the page cache and without what an earlier round made.

`vfseg` is the command `prepare` with the quickstart's config: crops of all vertebrae, in one
process. MONAI fills the cache of a `PersistentDataset` with CT and mask, by the transforms of
`benchmarks.one_ct`, in one process and in two. nnU-Net v2 plans and preprocesses CT and mask for
its 2D configuration, in as many processes as it takes by itself, and in two. MONAI and nnU-Net keep
the whole CTs, and know no vertebrae.

Time counts from after the imports; memory is the peak of a process and all that it starts, minus
that after the imports; what is kept is counted in bytes of files.

The second table is that of `benchmarks.prepare`: one large CT cut into crops, beside SimpleITK.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from benchmarks import large_ct, workers
from benchmarks.large_ct import FILES
from benchmarks.memory import Watch, stored_bytes
from benchmarks.monai_reading import reading
from benchmarks.workers import Call

CASES, SHAPE, SPACING = 8, (512, 512, 300), (0.8, 0.8, 1.5)
QUICK_CASES, QUICK_SHAPE, QUICK_SPACING = 2, (80, 80, 150), (2.5, 2.5, 3.0)
FEW = 2  # processes, of a small machine
ROUNDS = 3


def make_folder(folder: str, quick: bool) -> list[str]:
    """Makes the cases and their manifest; gives the folders of the cases, relative to this one."""
    from vfseg.data.cases import Case, write_manifest

    count = QUICK_CASES if quick else CASES
    shape, spacing = (QUICK_SHAPE, QUICK_SPACING) if quick else (SHAPE, SPACING)
    cases = []
    for number in range(count):
        place = Path(folder, "cases", f"case_{number}")
        place.mkdir(parents=True)
        large_ct.write_case(str(place), shape, spacing, seed=number)
        paths = {column: place / name for column, name in FILES.items()}
        split = "train" if number < count - 1 else "validation"
        cases.append(Case(place.name, f"patient_{number}", split=split, **paths))
    write_manifest(Path(folder, "manifest.csv"), cases)
    return [f"cases/{case.case_id}" for case in cases]


def vfseg(folder: str) -> dict[str, float]:
    """The program's own main function: seconds, bytes of memory and on the disk."""
    import vfseg.commands.prepare
    import vfseg.commands.workdir  # noqa: F401, which main imports late: here they count as imports
    from benchmarks.configs import QUICKSTART
    from vfseg import main

    made = _cleared(folder, "vfseg")
    command = ["vfseg", "--mode=prepare", f"--config={QUICKSTART}", f"--workdir={made}"]
    command += [f"--config.manifest={Path(folder, 'manifest.csv')}", "--quiet"]
    said = contextlib.redirect_stdout(sys.stderr)
    with mock.patch.object(sys, "argv", command), said, Watch() as watch:  # config flags look there
        begin = time.perf_counter()
        status = main.main(command)
        seconds = time.perf_counter() - begin
    assert status == 0, status
    return {"seconds": seconds, "bytes": watch.bytes, "stored": stored_bytes(made)}


def monai(folder: str, processes: int) -> dict[str, float]:
    """MONAI's `PersistentDataset`, filled: seconds, bytes of memory and on the disk.

    Args:
        folder: of the benchmark.
        processes: that fill it; 1 is that of the program itself.
    """
    from monai.data import DataLoader, PersistentDataset
    from monai.transforms import Compose

    made = _cleared(folder, "monai")
    items = [
        {"image": str(place / FILES["ct"]), "label": str(place / FILES["fractures"])}
        for place in sorted(Path(folder, "cases").iterdir())
    ]
    transforms = Compose(reading({"image": "bilinear", "label": "nearest"}))
    with Watch() as watch:
        begin = time.perf_counter()
        dataset = PersistentDataset(items, transforms, cache_dir=made)
        workers = processes if processes > 1 else 0
        for _ in DataLoader(dataset, batch_size=None, num_workers=workers):
            pass
        seconds = time.perf_counter() - begin
    assert len(list(made.iterdir())) == len(items)
    return {"seconds": seconds, "bytes": watch.bytes, "stored": stored_bytes(made)}


def _cleared(folder: str, name: str) -> Path:
    made = Path(folder, name)
    shutil.rmtree(made, ignore_errors=True)
    os.sync()  # what an earlier run has still to write is not this one's
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the two tables."""
    from benchmarks import command, nnunet, prepare, timing
    from benchmarks.environment import installed

    args = command.arguments(__doc__ or "", argv)
    count, shape = (QUICK_CASES, QUICK_SHAPE) if args.quick else (CASES, SHAPE)
    with tempfile.TemporaryDirectory() as folder:
        cases = workers.call("benchmarks.eight_cts", "make_folder", folder, args.quick)
        calls = {"vfseg": Call("benchmarks.eight_cts", "vfseg", (folder,))}
        if installed("monai"):
            for name, processes in (("1 process", 1), (f"{FEW} processes", FEW)):
                call = Call("benchmarks.eight_cts", "monai", (folder, processes))
                calls[f"MONAI, {name}"] = call
        if installed("nnunetv2"):
            workers.call("benchmarks.nnunet", "make_dataset", folder, cases)
            for processes in (nnunet.PREPARING_PROCESSES, FEW):
                call = Call("benchmarks.nnunet", "prepare", (folder, processes))
                calls[f"nnU-Net, {processes} processes"] = call
        found = workers.by_turns(calls, 1 if args.quick else ROUNDS)
    size = "x".join(map(str, shape))
    remarks = {
        name: {
            "peak": f"{max(one['bytes'] for one in several) / 1e9:.2f} GB",
            "on the disk": f"{several[-1]['stored'] / 1e9:.2f} GB",
        }
        for name, several in found.items()
    }
    table = timing.tabulate(
        timing.Task(f"{count} CTs of {size} to what a training reads", float(count), "CTs/s"),
        {name: [one["seconds"] for one in several] for name, several in found.items()},
        baseline="vfseg",
        remarks=remarks,
    )
    command.publish([table, prepare.table(args.quick)], args.json)
    for package in ("monai", "nnunetv2"):
        if not installed(package):
            print(f"left out: {package}: not installed (pip install -e '.[bench]')")
    prepare.say_left_out()


if __name__ == "__main__":
    main()
