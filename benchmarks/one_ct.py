"""One CT, from files to a map in a file, beside MONAI as its tutorials do it, and beside nnU-Net.

    python -m benchmarks.one_ct [--quick] [--json FILE]   (the peers: pip install -e '.[bench]')

The CT is synthetic (noise, gzip) with 14 boxes. Each round runs every competitor once, in a process
of its own, with all files in the page cache. `vfseg` is the command `predict` with the quickstart's
network, which besides the map writes mask, tables, pictures and meshes. MONAI loads, turns to RAS,
resamples to 1.25 mm, scales the intensities, runs its 3D `AttentionUnet` with as many channels,
puts the answer back on the CT's grid and saves it: over the whole CT by `sliding_window_inference`
(windows of 96 voxels, a quarter shared, its default), and over the boxes alone, crops of 48 voxels.
nnU-Net v2 plans for this very CT, and predicts it whole with the network of its default 2D plan, as
its command does: its preprocessing, tiles by half a step, each slice mirrored four ways (and once,
in a row of its own), its export of a mask. That takes so long that it has a table of one round.

Weights are random in all; they change no time. Time counts from after the imports; memory is the
peak resident size minus that after the imports, of nnU-Net that of all its processes.
"""

import csv
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import command, large_ct, timing, workers
from benchmarks.environment import installed
from benchmarks.large_ct import FILES
from benchmarks.memory import peak_resident_bytes, resident_bytes
from benchmarks.monai_reading import reading
from benchmarks.workers import Call

SHAPE, SPACING = (512, 512, 360), (0.75, 0.75, 1.25)
CROP, WINDOW = 48, 96
CHANNELS, QUICK_CHANNELS = (16, 32, 64, 128), (4, 8)
ROUNDS = 3


def make_folder(path: str, quick: bool) -> None:
    """CT, boxes and an untrained checkpoint."""
    from benchmarks import whole_program

    if quick:
        whole_program.make_folder(path, True)
    else:
        whole_program.make_folder(path, False, SHAPE, SPACING)


def monai(path: str, quick: bool, whole: bool) -> dict[str, float]:
    """Seconds and bytes of MONAI's way from file to file.

    Args:
        path: of the folder.
        quick: with a tiny network.
        whole: over the whole CT; else over the boxes.
    """
    import time

    import torch
    from monai.data import DataLoader, Dataset, decollate_batch
    from monai.inferers import sliding_window_inference
    from monai.networks.nets import AttentionUnet
    from monai.transforms import Activationsd, Compose, Invertd, SaveImaged

    folder, before, begin = Path(path), resident_bytes(), time.perf_counter()
    before_network = Compose(reading({"image": "bilinear"}))
    after = Compose(
        [
            Invertd("pred", before_network, orig_keys="image", nearest_interp=False),
            Activationsd("pred", sigmoid=True),
            SaveImaged(
                "pred", output_dir=str(folder / "monai"), separate_folder=False, print_log=False
            ),
        ]
    )
    channels = QUICK_CHANNELS if quick else CHANNELS
    network = AttentionUnet(3, 1, 1, channels, strides=(2,) * (len(channels) - 1)).eval()
    loader = DataLoader(Dataset([{"image": str(folder / FILES["ct"])}], before_network))
    with torch.inference_mode():
        for batch in loader:
            image = batch["image"]
            if whole:
                batch["pred"] = sliding_window_inference(image, (WINDOW,) * 3, 4, network)
            else:
                batch["pred"] = _over_boxes(image, middles_of(folder), network)
            for one in decollate_batch(batch):
                after(one)
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "bytes": peak_resident_bytes() - before}


def middles_of(folder: Path) -> np.ndarray:
    """Middles of the boxes, mm in the world of the CT, `n 3`."""
    import nibabel as nib

    with open(folder / "boxes.csv", newline="") as file:
        rows = [[float(row[key]) for key in row if key != "id"] for row in csv.DictReader(file)]
    edges = np.array(rows).reshape(-1, 3, 2)
    affine = nib.load(folder / FILES["ct"]).affine
    return nib.affines.apply_affine(affine, (edges.sum(axis=2) - 1) / 2)


def _over_boxes(image: Any, middles: np.ndarray, network: Callable[[Any], Any]) -> Any:
    """Mean of the network's logits on crops about the middles; far below zero elsewhere."""
    import nibabel as nib
    import torch
    from monai.inferers.merger import AvgMerger

    merger = AvgMerger(tuple(image.shape))
    to_voxel = np.linalg.inv(np.asarray(image.affine).reshape(-1, 4, 4)[0])
    for middle in nib.affines.apply_affine(to_voxel, middles):
        room = np.array(image.shape[2:]) - CROP
        d, h, w = np.clip(np.rint(middle).astype(int) - CROP // 2, 0, room).tolist()
        crop = image.as_tensor()[..., d : d + CROP, h : h + CROP, w : w + CROP]
        merger.aggregate(network(crop), (d, h, w))
    merged = torch.nan_to_num(merger.finalize(), nan=-20.0)
    answer = image.clone()
    answer.copy_(merged)
    return answer


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a table for each of the peers."""
    args = command.arguments(__doc__ or "", argv)
    with tempfile.TemporaryDirectory() as folder:
        workers.call("benchmarks.one_ct", "make_folder", folder, args.quick)
        workers.call("benchmarks.whole_program", "predict", folder)  # compiles, into the cache
        ours = {"vfseg": Call("benchmarks.whole_program", "predict", (folder,))}
        races = []
        if installed("monai"):
            calls = {
                f"MONAI, {what}": Call("benchmarks.one_ct", "monai", (folder, args.quick, whole))
                for what, whole in (("the boxes", False), ("the whole CT", True))
            }
            races.append((calls, 1 if args.quick else ROUNDS))
        if installed("nnunetv2"):
            workers.call("benchmarks.nnunet", "make_dataset", folder, ["."])
            workers.call("benchmarks.nnunet", "make_model", folder, args.quick)
            calls = {
                f"nnU-Net, {how}": Call("benchmarks.nnunet", "predict", (folder, mirroring))
                for how, mirroring in (("not mirrored", False), ("its defaults", True))
            }
            races.append((calls, 1))
        found = [workers.by_turns(ours | calls, rounds) for calls, rounds in races or [({}, 1)]]
    command.publish([_table(one, args.quick) for one in found], args.json)
    for package in ("monai", "nnunetv2"):
        if not installed(package):
            print(f"left out: {package}: not installed (pip install -e '.[bench]')")


def _table(found: Mapping[str, list[dict[str, float]]], quick: bool) -> timing.Table:
    size = large_ct.QUICK_SHAPE if quick else SHAPE
    return timing.tabulate(
        timing.Task(f"One CT of {'x'.join(map(str, size))}, 14 boxes, to its map", 1.0, "CTs/s"),
        {
            name: [one.get("after_imports", one["seconds"]) for one in several]
            for name, several in found.items()
        },
        baseline="vfseg",
        remarks={
            name: {"peak": f"{max(one['bytes'] for one in several) / 1e9:.2f} GB"}
            for name, several in found.items()
        },
    )


if __name__ == "__main__":
    main()
