"""The whole program on one large CT: what `benchmarks.inference` runs in processes of their own.

Imports stand in the functions, because the imports of the program are part of what is timed.
"""

import csv
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import large_ct
from benchmarks.large_ct import FILES
from benchmarks.memory import peak_resident_bytes, resident_bytes


def make_folder(
    path: str,
    quick: bool,
    shape: Sequence[int] | None = None,
    spacing: Sequence[float] = large_ct.SPACING,
) -> None:
    """Makes CT, boxes and an untrained checkpoint with thresholds.

    Args:
        path: of the folder.
        quick: small, with a tiny network.
        shape: voxels along the axes as they are stored, where it is not that of `large_ct`.
        spacing: mm along these axes, of such a CT.
    """
    from benchmarks.configs import QUICKSTART, read_config
    from vfseg.config.recipe import initial_state
    from vfseg.data.volume import read_labels
    from vfseg.inference.thresholds import Thresholds, save_thresholds
    from vfseg.training.checkpoints import Checkpoints

    folder = Path(path)
    if shape is None:
        large_ct.make_case(path, quick)
    else:
        large_ct.write_case(path, shape, spacing)
    labels = read_labels(folder / FILES["vertebrae"])
    stored = labels.geometry.to_stored(labels.array)
    with open(folder / "boxes.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["id", "x0", "x1", "y0", "y1", "z0", "z1"])
        for label in np.unique(stored[stored != 0]):
            sides = [np.flatnonzero((stored == label).any(axis=others)) for others in _OTHERS]
            lines.writerow([label, *(n for s in sides for n in (s[0], s[-1] + 1))])
    config = read_config(QUICKSTART, "tiny" if quick else "")
    checkpoints = Checkpoints(folder / "checkpoints", create=True)
    state = initial_state(config)
    checkpoints.save(state, next_sample=0, config=config.to_dict())
    checkpoints.score(int(state.step), 0.0)
    save_thresholds(
        folder / "checkpoints",
        int(state.step),
        Thresholds(slice=0.5, fused=0.5, vertebra=0.5, temperature=1.0),
        config.inference.fusion,
    )


_OTHERS = ((1, 2), (0, 2), (0, 1))


def predict(path: str) -> dict[str, float]:
    """Runs the program's own main function: seconds in all and after the imports, and bytes."""
    begin = time.perf_counter()
    import vfseg.commands.evaluate
    import vfseg.commands.predict  # noqa: F401, which main imports late: here they count as imports
    from vfseg import main

    before, imported, folder = resident_bytes(), time.perf_counter(), Path(path)
    command = ["vfseg", "--mode", "predict", "--input", folder / FILES["ct"], "--overwrite"]
    command += ["--boxes", folder / "boxes.csv", "--checkpoint", folder / "checkpoints"]
    command += ["--output", folder / "out", "--vertebra-scheme", "verse"]
    status = main.main([*map(str, command)])
    assert status == 0, status
    end = time.perf_counter()
    peak = peak_resident_bytes() - before
    return {"seconds": end - begin, "after_imports": end - imported, "bytes": peak}
