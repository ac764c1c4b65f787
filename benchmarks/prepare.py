"""Preparing one large CT: time and memory, beside the same crops cut with SimpleITK.

`python -m benchmarks.prepare [--quick] [--json FILE]`   (SimpleITK: `pip install -e '.[bench]'`)

The case is synthetic: 512 x 512 x 1571 voxels of int16 noise, 14 labelled blocks for T4 to L5 and
two fracture sheets, gzip level 1, in a temporary folder. Each round runs every competitor once in a
process of its own. Time counts from after the imports; memory is the peak resident size minus that
after the imports, as a multiple of the CT's int16 bytes. All files are in the page cache.

vfseg does more in that time than SimpleITK here: it hashes the files, finds the label scheme and
the middle of the vertebral bodies, filters before it samples down, attributes the fractures and
writes the store. SimpleITK reads the three volumes and resamples every crop (linear, nearest), also
with one volume in memory at a time.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import large_ct, workers
from benchmarks.large_ct import FILES
from benchmarks.memory import peak_resident_bytes, resident_bytes
from benchmarks.workers import Call

if TYPE_CHECKING:  # what is timed is imported without JAX
    from benchmarks.timing import Table

CROP, VOXEL_SPACING = (96, 96, 96), 1.25  # mm
ROUNDS = 3
GOAL = "goal on 2 cores: at most 60 s and 2 times the CT's int16 bytes"


def vfseg() -> Callable[[Path], object]:
    """Imports, then gives the job."""
    from vfseg.crops.prepare import prepare_cases
    from vfseg.crops.settings import PrepareSettings
    from vfseg.data.cases import Case

    settings = PrepareSettings(voxel_spacing=VOXEL_SPACING, crop_shape=CROP)

    def job(folder: Path) -> None:
        paths = {name: folder / file for name, file in FILES.items()}
        # A store of its own: what stands in one is not prepared again.
        with tempfile.TemporaryDirectory(dir=folder) as store:
            prepare_cases((Case("case", "patient", **paths),), settings, Path(store))

    return job


def simpleitk() -> Callable[[Path], object]:
    """Imports, then gives the job."""
    import SimpleITK as sitk

    def cut(image, centres, interpolator, fill):
        half = VOXEL_SPACING * (np.array(CROP) - 1) / 2
        for centre in centres:
            origin = tuple(float(v) for v in np.array(centre) - half)
            grid = (CROP, sitk.Transform(), interpolator, origin, (VOXEL_SPACING,) * 3)
            crop = sitk.Resample(image, *grid, image.GetDirection(), fill)
            yield sitk.GetArrayFromImage(crop)

    def job(folder: Path) -> list[np.ndarray]:
        labels = sitk.ReadImage(str(folder / FILES["vertebrae"]))
        found = sitk.LabelShapeStatisticsImageFilter()
        found.Execute(labels)
        # The centroid may serve as the middle here: the direction is the identity in ITK's axes
        # up to signs, and a crop about it needs no more than the sign of the half edge.
        sign = np.array(labels.GetDirection()).reshape(3, 3).diagonal()
        half = VOXEL_SPACING * (np.array(CROP) - 1) / 2
        centres = [np.array(found.GetCentroid(label)) for label in found.GetLabels()]
        centres = [centre + half - sign * half for centre in centres]
        crops = list(cut(labels, centres, sitk.sitkNearestNeighbor, 0))
        del labels
        crops += cut(
            sitk.ReadImage(str(folder / FILES["fractures"])), centres, sitk.sitkNearestNeighbor, 0
        )
        ct = sitk.ReadImage(str(folder / FILES["ct"]))
        return crops + list(cut(ct, centres, sitk.sitkLinear, -1024))

    return job


COMPETITORS = {"vfseg": vfseg, "SimpleITK": simpleitk}


def worker(name: str, folder: str) -> dict[str, float]:
    """Runs one competitor: its seconds and bytes."""
    job = COMPETITORS[name]()
    before = resident_bytes()
    begin = time.perf_counter()
    job(Path(folder))
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "bytes": peak_resident_bytes() - before}


def table(quick: bool) -> "Table":
    """Makes the case, and runs the competitors that are installed by turns."""
    from benchmarks import timing
    from benchmarks.environment import installed

    names = [name for name in COMPETITORS if name == "vfseg" or installed(name)]
    with tempfile.TemporaryDirectory() as folder:
        workers.call("benchmarks.large_ct", "make_case", folder, quick)
        calls = {name: Call("benchmarks.prepare", "worker", (name, folder)) for name in names}
        found = workers.by_turns(calls, 1 if quick else ROUNDS)
    peaks = {name: max(one["bytes"] for one in found[name]) for name in names}
    remarks = {
        name: {"peak": f"{peaks[name] / large_ct.ct_bytes(quick=quick):.2f} x CT"} for name in names
    }
    for name in names:
        if version := installed(name):
            remarks[name]["version"] = version
    title = f"one case of {large_ct.described(quick=quick)}, 14 crops of {CROP} at "
    return timing.tabulate(
        timing.Task(f"{title}{VOXEL_SPACING} mm", 1.0, "cases/s"),
        {name: [one["seconds"] for one in found[name]] for name in names},
        baseline=names[-1],
        remarks=remarks,
    )


def main() -> None:
    """Prints the table."""
    from benchmarks import command

    args = command.arguments(__doc__ or "")
    command.publish([table(args.quick)], args.json)
    print(GOAL)
    say_left_out()


def say_left_out() -> None:
    """Names the competitors that are not installed."""
    from benchmarks.environment import installed

    for name in COMPETITORS:
        if name != "vfseg" and not installed(name):
            print(f"{name}: not installed (pip install -e '.[bench]'), its row is left out")


if __name__ == "__main__":
    main()
