"""Readers of archives of arrays, to be tried: counts, models to pass on, weights."""

import importlib.util
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from tests.cohort import tiny_config
from tests.faults.archives import with_right_sums, zip_of
from tests.faults.attempts import Target
from tests.models.test_torch_pickles import MARK
from vfseg.config.model import load_trained
from vfseg.config.recipe import generator_shapes
from vfseg.config.shipped import export_model, read_shipped
from vfseg.errors import UserError
from vfseg.evaluation.measures import States, read_states, write_states
from vfseg.inference.thresholds import Thresholds
from vfseg.models.torch_pickles import check_promises
from vfseg.models.weight_files import read_weights


def states_npz(folder: Path) -> Target:
    """Counts of a run, as an archive whose sums are put right."""
    path = folder / "states.npz"
    stored = _states(path)
    seeds = [_npz(stored), path.read_bytes()]
    return Target(path, lambda: read_states(path), seeds, with_right_sums)


def states_array(folder: Path) -> Target:
    """One array among the counts of a run: its header and its values."""
    path = folder / "states.npz"
    members = {f"{name}.npy": _npy(array) for name, array in _states(path).items()}
    changed = "voxel/confusion.npy"

    def dress(data: bytes) -> bytes:
        return zip_of(members | {changed: data}, zipfile.ZIP_DEFLATED)

    seeds = [members[changed], _npy(np.ones((3, 4))), _npy(np.array(["a", "bc", "d"]))]
    return Target(path, lambda: read_states(path), seeds, dress)


def _states(path: Path) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    counts = {"voxel/confusion": rng.integers(0, 9, (3, 4)), "voxel/hd95": rng.random((3, 2))}
    write_states(path, States(("a", "b", "c"), ("p", "p", "q"), ("1", "2", "3"), counts))
    with np.load(path) as file:
        return dict(file)


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    return zip_of({f"{name}.npy": _npy(array) for name, array in arrays.items()})


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, (1, 0), allow_pickle=False)
    return stream.getvalue()


def model_config(folder: Path) -> Target:
    """The config of a model to pass on that has no digests."""
    _export(folder)
    path = folder / "config.json"
    return Target(path, lambda: load_trained(folder), [path.read_bytes()])


def model_parameters(folder: Path) -> Target:
    """Its parameters, of which it holds zeros, packed."""
    shapes, path = _export(folder), folder / "parameters.npz"
    return Target(
        path,
        lambda: read_shipped(folder, lambda config: shapes),  # found once, which takes long
        [path.read_bytes()],
        with_right_sums,
    )


def _export(folder: Path) -> Any:
    """Writes a model of zeros; returns the shapes of its parameters."""
    config = tiny_config()
    thresholds, shapes = Thresholds(slice=0.25, fused=0.75, vertebra=0.1), generator_shapes(config)
    export_model(folder, config, 3, _zeros(shapes), thresholds)
    (folder / "digests.json").unlink()
    return shapes


def _zeros(tree):
    if hasattr(tree, "items"):
        return {name: _zeros(branch) for name, branch in tree.items()}
    return np.zeros(tree.shape, tree.dtype)


def safetensors(folder: Path) -> Target:
    """As it lies on disk."""
    path = folder / "w.safetensors"
    arrays = {"a.w": np.ones((2, 3), np.float32), "a.v": np.arange(4), "b": np.ones(1, np.float16)}
    return Target(path, lambda: read_weights(path), [save(arrays), save({})])


def safetensors_header(folder: Path) -> Target:
    """The length of the header put right: what is changed is the header."""
    target = safetensors(folder)
    target.seeds = [seed[8:] for seed in target.seeds]
    bytes_of = save({"w": np.ones(4, np.uint8)})[8:]
    target.seeds += [bytes_of.replace(b"U8", kind) for kind in (b"I8", b"F8_E4M3", b"BOOL")]

    def dress(data: bytes) -> bytes:
        end = data.rfind(b"}") + 1
        while data[end : end + 1] == b" ":
            end += 1
        return struct.pack("<Q", end) + data

    target.dress = dress
    return target


def pth(folder: Path) -> Target:
    """A state dict as an archive whose sums are put right."""
    parts = {"a/data.pkl": PICKLE, "a/version": b"3\n", "a/data/0": VALUES}
    return _pth(folder, [zip_of(parts)], with_right_sums)


def pth_pickle(folder: Path) -> Target:
    """The pickle in such an archive."""
    return _pth(
        folder,
        [PICKLE],
        lambda data: zip_of({"a/data.pkl": data, "a/version": b"3\n", "a/data/0": VALUES}),
    )


def pth_legacy(folder: Path) -> Target:
    """A state dict as a stream of pickles, as PyTorch wrote it before 1.6."""
    content = PICKLE.replace(b"tq\7Q", b"Ntq\7Q")  # a storage that is no part of another
    keys = pickle.dumps(["0"], 2)
    return _pth(folder, [MARK + content + keys + struct.pack("<q", 6) + VALUES], bytes)


def _pth(folder: Path, seeds: list[bytes], dress) -> Target:
    path = folder / "w.pth"
    return Target(path, lambda: read_state_dict(path), seeds, dress)


def read_state_dict(path: Path) -> None:
    """Reads a state dict; without PyTorch, what `read_weights` does before it asks for it."""
    if importlib.util.find_spec("torch"):
        read_weights(path)
        return
    try:
        check_promises(path)
    except Exception as error:
        raise UserError(f"{path}: {error}") from error


VALUES = np.arange(6, dtype=np.float32).tobytes()
PICKLE = (
    b"\x80\2}q\0X\1\0\0\0wq\1ctorch._utils\n_rebuild_tensor_v2\nq\2((X\7\0\0\0storageq\3"
    b"ctorch\nFloatStorage\nq\4X\1\0\0\0" + b"0q\5X\3\0\0\0cpuq\6K\6tq\7QK\0K\2K\3\x86q\bK\3K\1"
    b"\x86q\t\x89ccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs."
)
"""`{"w": tensor of 2 x 3}`, as `torch.save` pickles it."""
