"""Preparing one large CT: time and memory, beside the same crops cut with SimpleITK.

`python -m benchmarks.prepare [--quick] [--json FILE]`   (SimpleITK: `pip install -e '.[bench]'`)

The case is synthetic: 512 x 512 x 1571 voxels of int16 noise, 14 labelled blocks for T4 to L5 and
two fracture sheets, gzip level 1, in a temporary folder. Each round runs every competitor once in a
process of its own. Time counts from after the imports; memory is the peak resident size less that
after the imports, as a multiple of the CT's int16 bytes. The files lie in the page cache for all.

vfseg does more in that time than SimpleITK here: it hashes the files, finds the label scheme and
the middle of the vertebral bodies, filters before it samples down, attributes the fractures and
writes the store. SimpleITK reads the three volumes and resamples every crop (linear, nearest), one
volume in memory at a time, too.
"""

import argparse
import importlib.metadata
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SHAPE, SPACING = (512, 512, 1571), (0.7, 0.7, 0.5)
QUICK_SHAPE, QUICK_SPACING = (160, 160, 400), (1.4, 1.4, 1.96)
CROP, VOXEL_SPACING = (96, 96, 96), 1.25  # mm
FILES = {"ct": "ct.nii.gz", "vertebrae": "vertebrae.nii.gz", "fractures": "fractures.nii.gz"}
ROUNDS = 3
GOAL = "goal on 2 cores: at most 60 s and 2 times the CT's int16 bytes"


def make_case(folder: Path, shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    """Blocks of 20 to 60 mL, 22 to 38 mm apart, in the middle of a volume of noise."""
    from vfseg.data.geometry import geometry_from
    from vfseg.data.volume import write_ct, write_labels

    geometry = geometry_from(shape, np.diag([*spacing, 1.0]))
    labels, fractures = np.zeros(geometry.shape, np.uint8), np.zeros(geometry.shape, np.uint8)
    step = np.array(spacing[::-1])
    top = geometry.shape[0] * step[0] * 0.95
    for index in range(14):
        pitch, volume = np.interp(index, (0, 13), (22, 36)), np.interp(index, (0, 13), (19, 58))
        height = 0.75 * pitch
        side = np.sqrt(volume * 1000 / height)
        middle = np.array([top, geometry.shape[1] * step[1] / 2, geometry.shape[2] * step[2] / 2])
        extent = np.array([height, side, side])
        low, high = (((middle + s * extent / 2) / step).astype(int) for s in (-1, 1))
        labels[tuple(map(slice, low, high))] = 11 + index  # T4 is 11 in the scheme "verse"
        if index in (4, 9):
            third = (2 * low[0] + high[0]) // 3
            fractures[third : third + 4, low[1] : high[1], low[2] : high[2]] = index
        top -= pitch
    write_labels(folder / FILES["vertebrae"], labels, geometry)
    write_labels(folder / FILES["fractures"], fractures, geometry)
    ct = np.empty(geometry.shape, np.int16)
    noise = np.random.default_rng(0).normal(0, 25, ct[:16].shape).astype(np.int16)
    for first in range(0, len(ct), len(noise)):
        ct[first : first + len(noise)] = noise[: len(ct) - first]
    ct += (labels != 0) * np.int16(300)
    write_ct(folder / FILES["ct"], ct, geometry)


def vfseg() -> Callable[[Path], object]:
    """Imports, then gives the job."""
    from vfseg.crops.prepare import PrepareSettings, cut_case, fingerprint_of
    from vfseg.crops.store import write_case
    from vfseg.data.cases import Case

    def job(folder: Path) -> None:
        paths = {name: folder / file for name, file in FILES.items()}
        case, settings = (
            Case("case", "patient", **paths),
            PrepareSettings(voxel_spacing=VOXEL_SPACING, crop_shape=CROP),
        )
        write_case(folder / "store", *cut_case(case, settings, fingerprint_of(case, settings)))

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


def worker(name: str, folder: Path) -> None:
    """Runs one competitor and prints its seconds and bytes."""
    job = COMPETITORS[name]()
    before = resident_bytes("VmRSS")
    begin = time.perf_counter()
    job(folder)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "bytes": resident_bytes("VmHWM") - before}))


def resident_bytes(field: str) -> int:
    """Resident size of this process: now (VmRSS) or its peak (VmHWM)."""
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(rf"{field}:\s*(\d+) kB", status.read_text())
        assert found
        return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def in_process(*arguments: str | Path | int, module: str = "benchmarks.prepare") -> str:
    """Standard output of a module that is run in a process of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def installed(package: str) -> str | None:
    """Version of a package, None where it is missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Makes the case, runs the competitors by turns, prints one table."""
    if sys.argv[1:2] == ["--make"]:
        parser = argparse.ArgumentParser()
        parser.add_argument("folder", type=Path)
        parser.add_argument("quick", type=int)
        args = parser.parse_args(sys.argv[2:])
        size = (QUICK_SHAPE, QUICK_SPACING) if args.quick else (SHAPE, SPACING)
        return make_case(args.folder, *size)
    if sys.argv[1:2] == ["--worker"]:
        return worker(sys.argv[2], Path(sys.argv[3]))

    from benchmarks import timing

    args = timing.arguments(__doc__ or "")
    shape = QUICK_SHAPE if args.quick else SHAPE
    names = [name for name in COMPETITORS if name == "vfseg" or installed(name)]
    ct_bytes = 2 * int(np.prod(shape))
    seconds: dict[str, list[float]] = {name: [] for name in names}
    peaks: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        in_process("--make", folder, int(args.quick))
        for turn in range(1 if args.quick else ROUNDS):
            for name in np.roll(names, -turn):
                found = json.loads(in_process("--worker", str(name), folder))
                seconds[name].append(found["seconds"])
                peaks[name].append(found["bytes"] / ct_bytes)
    remarks = {name: {"peak": f"{max(peaks[name]):.2f} x CT"} for name in names}
    for name in names:
        if version := installed(name):
            remarks[name]["version"] = version
    size = "x".join(map(str, shape))
    table = timing.tabulate(
        f"one case of {size} int16 ({ct_bytes / 1e6:.0f} MB), 14 crops of {CROP} at "
        f"{VOXEL_SPACING} mm",
        seconds,
        baseline=names[-1],
        work=1.0,
        unit="cases/s",
        remarks=remarks,
    )
    timing.publish([table], args.json)
    print(GOAL)
    for name in COMPETITORS.keys() - set(names):
        print(f"{name}: not installed (pip install -e '.[bench]'), its row is left out")
    return None


if __name__ == "__main__":
    main()
