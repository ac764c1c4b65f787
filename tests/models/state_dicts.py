"""State dicts in the two formats of `torch.save`, written opcode by opcode without PyTorch."""

import dataclasses
import io
import zipfile
from typing import Any

import numpy as np

_STORAGES = {"<f8": "DoubleStorage", "<f4": "FloatStorage", "<f2": "HalfStorage"}
_STORAGES |= {"<i8": "LongStorage"}


@dataclasses.dataclass
class Global:
    module: str
    name: str


@dataclasses.dataclass
class Call:
    """`function(*args)`, then `__setstate__(state)` or attributes where there is a state."""

    function: Global
    args: tuple
    state: Any = None


@dataclasses.dataclass
class Reference:
    pid: tuple


def pickled(value):
    """A pickle of protocol 2 that asks for exactly this, whether or not it can be had."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value):
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(raw)]) + raw
        case str():
            return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()
        case tuple():
            return b"(" + b"".join(map(_opcodes, value)) + b"t"
        case list():
            return b"](" + b"".join(map(_opcodes, value)) + b"e"
        case dict():
            return b"}(" + b"".join(_opcodes(k) + _opcodes(v) for k, v in value.items()) + b"u"
        case Global():
            return f"c{value.module}\n{value.name}\n".encode()
        case Call():
            made = _opcodes(value.function) + _opcodes(value.args) + b"R"
            return made if value.state is None else made + _opcodes(value.state) + b"b"
        case Reference():
            return _opcodes(value.pid) + b"Q"
    raise TypeError(type(value))


def reference(key, values):
    dtype = Global("torch", _STORAGES[values.dtype.str])
    return ("storage", dtype, key, "cpu", values.size)


def tensor(key, values, offset, shape, strides, *, legacy=False):
    """What PyTorch pickles for a view on the storage `key` that holds `values`."""
    pid = (*reference(key, values), None) if legacy else reference(key, values)
    hooks = Call(Global("collections", "OrderedDict"), ())
    function = Global("torch._utils", "_rebuild_tensor_v2")
    return Call(function, (Reference(pid), offset, shape, strides, False, hooks))


def zip_file(content, storages):
    """A zip file of this content (see `pickled`) and these storages, arrays by key."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(content))
        archive.writestr("archive/byteorder", b"little")
        for key, values in storages.items():
            archive.writestr(f"archive/data/{key}", values.tobytes())
    return file.getvalue()


def legacy_file(content, storages):
    """As `zip_file`, in the format before PyTorch 1.6."""
    system = {"protocol_version": 1001, "little_endian": True}
    parts = [pickled(part) for part in (0x1950A86A20F9469CFC6C, 1001, system, content)]
    parts.append(pickled(list(storages)))
    for values in storages.values():
        parts.append(values.size.to_bytes(8, "little") + values.tobytes())
    return b"".join(parts)


def state_dict_file(tensors, *, legacy=False, reverse_axes=()):
    """Bytes of a file with these arrays; those of `reverse_axes` are stored in Fortran order."""
    content, storages = {}, {}
    for number, (name, array) in enumerate(tensors.items()):
        values = array.flatten(order="F" if name in reverse_axes else "C")
        stored = array.copy(order="F" if name in reverse_axes else "C")
        strides = tuple(step // array.itemsize for step in stored.strides)
        storages[str(number)] = values
        content[name] = tensor(str(number), values, 0, array.shape, strides, legacy=legacy)
    return (legacy_file if legacy else zip_file)(content, storages)


def resnet18_state_dict(seed=0):
    """Random arrays under the names and shapes of torchvision's ResNet18, classifier included."""
    rng = np.random.default_rng(seed)
    tensors = {}

    def conv(name, norm, shape):
        features = shape[:1]
        scale = np.sqrt(1 / np.prod(shape[1:]))
        tensors[f"{name}.weight"] = rng.normal(0, scale, shape)
        tensors[f"{norm}.weight"] = rng.uniform(0.5, 1.5, features)
        tensors[f"{norm}.bias"] = rng.normal(0, 0.5, features)
        tensors[f"{norm}.running_mean"] = rng.normal(0, 0.5, features)
        tensors[f"{norm}.running_var"] = rng.uniform(0.5, 2, features)

    conv("conv1", "bn1", (64, 3, 7, 7))
    before = 64
    for layer, features in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            at = f"layer{layer}.{block}"
            conv(f"{at}.conv1", f"{at}.bn1", (features, before, 3, 3))
            conv(f"{at}.conv2", f"{at}.bn2", (features, features, 3, 3))
            if before != features:
                conv(f"{at}.downsample.0", f"{at}.downsample.1", (features, before, 1, 1))
            before = features
    tensors["fc.weight"], tensors["fc.bias"] = rng.normal(size=(1000, 512)), np.zeros(1000)
    return {name: array.astype(np.float32) for name, array in tensors.items()}
