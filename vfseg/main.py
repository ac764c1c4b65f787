"""Command line of vfseg: parses, checks and dispatches; nothing else.

    python -m vfseg.main --config configs/NAME.py [--workdir DIR] [--mode MODE] [--config.KEY=VALUE]
    python -m vfseg.main --mode predict --input CT --vertebrae LABELS --output DIR

Many processes make one run, each with the same command and a workdir that all of them see:
`--distributed` under SLURM, Kubernetes, Open MPI or on a TPU pod; elsewhere each is given
`--coordinator=HOST:PORT --processes=N --process=I`.

`--folds` runs all folds of a cross-validation (`--config.split.folds=K`), each one in a folder
`fold-I` of the workdir. With several processes each takes its share of the folds, and works for
itself: `--distributed`, or `--processes=N --process=I`.

Exit status: 0 done, 2 something that the user can mend (one message), 1 anything else.
"""

import contextlib
import difflib
import functools
import os
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from vfseg.errors import UserError

MODES = ("run", "audit", "prepare", "train", "evaluate", "predict", "report", "ship")
_FOLD_MODES = ("run", "prepare", "train", "evaluate", "report")

FLAGS = flags.FlagValues()
_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "configs/NAME.py; override a key with --config.KEY=VALUE", flag_values=FLAGS
)


def _string(name: str, default: str | None, text: str) -> flags.FlagHolder:
    return flags.DEFINE_string(name, default, text, flag_values=FLAGS)


def _boolean(name: str, text: str) -> flags.FlagHolder:
    return flags.DEFINE_boolean(name, False, text, flag_values=FLAGS)


_MODE = _string("mode", "run", f"one of {', '.join(MODES)}")
_WORKDIR = _string("workdir", None, "where results go; default runs/NAME")
_INPUT = _string("input", None, "predict: the CT (NIfTI file, DICOM folder) or a folder of cases")
_VERTEBRAE = _string(
    "vertebrae", None, "predict: label map of the vertebrae (file, or folder of masks), or auto"
)
_BOXES = _string("boxes", None, "predict: box file, in place of --vertebrae")
_SCHEME = _string("vertebra_scheme", None, "label scheme of the vertebra maps; else by anatomy")
_INCLUSIVE = _boolean("boxes_inclusive", "boxes name the last voxel, not the one after it")
_CHECKPOINT = _string("checkpoint", None, "predict: WORKDIR/checkpoints or a step's folder in it")
_OUTPUT = _string("output", None, "predict: folder of the results; ship: of the model")
_OVERWRITE = _boolean("overwrite", "predict: replace existing results")
_FUSIONS = _boolean("fusions", "evaluate: compare all rules of fusion")
_COMPARE = _string("compare", None, "evaluate: workdir of another run on the same test cases")
_FOLDS = _boolean("folds", "run, prepare, train, evaluate, report: all folds, shared out")
_DISTRIBUTED = _boolean("distributed", "join the processes of the cluster that this runs on")
_COORDINATOR = _string("coordinator", None, "HOST:PORT of process 0, to join processes elsewhere")
_PROCESSES = flags.DEFINE_integer("processes", None, "how many there are", flag_values=FLAGS)
_PROCESS = flags.DEFINE_integer("process", None, "which one this is, from 0", flag_values=FLAGS)
_HELP = flags.DEFINE_boolean("help", False, "show this text", short_name="h", flag_values=FLAGS)


def main(arguments: Sequence[str]) -> int:
    """Runs the program with `sys.argv`; returns the exit status."""
    try:
        config_path = _parse(arguments)
        if _HELP.value:
            print(f"{__doc__}\n{FLAGS.get_help()}")
            return 0
        _prepare_logging()
        _prepare_jax()
        with contextlib.nullcontext() if _FOLDS.value else _joined():
            _dispatch(config_path)
    except UserError as error:
        print(f"vfseg: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vfseg: interrupted; the same command continues", file=sys.stderr)
        return 130
    return 0


def entry_point() -> None:
    """The `vfseg` command."""
    sys.exit(main(sys.argv))


def _parse(arguments: Sequence[str]) -> str | None:
    """Reads the flags; returns PATH or PATH:VARIANT of the config."""
    normal = [_with_underscores(argument) for argument in arguments]
    config_path = _config_path(normal)
    path = (config_path or "").partition(":")[0]
    if config_path is not None and not Path(path).is_file():
        known = sorted(str(p) for p in Path("configs").glob("*.py"))
        hint = f" There are {', '.join(known)}." if known else ""
        raise UserError(f"--config {path}: no such file.{hint}")
    try:
        rest = FLAGS(normal)
    except flags.Error as error:
        raise UserError(f"{_without_traceback(str(error))}. See --help.") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(_key_message(normal, error)) from error
    except Exception as error:
        # Whatever the user's own config file raises while it is imported.
        raise UserError(f"--config {path}: {type(error).__name__}: {error}") from error
    if len(rest) > 1:
        raise UserError(f"{rest[1]!r}: expected flags only. See --help.")
    if _MODE.value not in MODES:
        raise UserError(f"--mode {_MODE.value}: expected one of {', '.join(MODES)}.")
    return config_path


def _without_traceback(message: str) -> str:
    """First and last line of what ml_collections says of a config that raises."""
    if "Traceback" not in message:
        return message
    lines = [line for line in message.splitlines() if line.strip()]
    return f"{lines[0]} {lines[-1]}"


def _with_underscores(argument: str) -> str:
    """`--boxes-inclusive=x` -> `--boxes_inclusive=x`; values and config keys stay as they are."""
    name, separator, value = argument.partition("=")
    if name.startswith("-config"):
        name = "-" + name
    if name.startswith("--") and not name.startswith("--config"):
        name = "--" + name[2:].replace("-", "_")
    return name + separator + value


def _config_path(arguments: Sequence[str]) -> str | None:
    """What is given with --config, the last one if there are several."""
    path = None
    for index, argument in enumerate(arguments):
        if argument == "--config" and index + 1 < len(arguments):
            path = arguments[index + 1]
        if argument.startswith("--config="):
            path = argument.partition("=")[2]
    return path


def _key_message(arguments: Sequence[str], error: Exception) -> str:
    """Names the key that does not fit, and its nearest relative."""
    path, _, variant = (_config_path(arguments) or "").partition(":")
    try:
        get_config = runpy.run_path(path)["get_config"]
        keys = _keys(get_config(variant) if variant else get_config())
    except Exception:
        keys = []
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("--config.") and name[9:] not in keys:
            near = difflib.get_close_matches(name[9:], keys, 1)
            hint = f" Did you mean --config.{near[0]}?" if near else ""
            return f"{name}: no such key in the config.{hint}"
    return f"the config cannot be read ({error}). See --help."


def _loaded_config() -> ConfigDict | None:
    try:
        return FLAGS["config"].value
    except Exception:
        return None


def _keys(config: ConfigDict, prefix: str = "") -> list[str]:
    keys = []
    for name, value in config.items():
        keys.append(prefix + name)
        if isinstance(value, ConfigDict):
            keys += _keys(value, f"{prefix}{name}.")
    return keys


def _joined() -> contextlib.AbstractContextManager[None]:
    """The processes of this run, where there are several."""
    named = {"--coordinator": _COORDINATOR, "--processes": _PROCESSES, "--process": _PROCESS}
    missing = [name for name, holder in named.items() if holder.value is None]
    if not _DISTRIBUTED.value and len(missing) == len(named):
        return contextlib.nullcontext()
    if _DISTRIBUTED.value and len(missing) < len(named):
        raise UserError(f"--distributed finds out for itself: leave out {', '.join(named)}.")
    if not _DISTRIBUTED.value and missing:
        raise UserError(f"{', '.join(named)} go together: {', '.join(missing)} is missing.")
    from vfseg import processes

    return processes.together(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)


def _folds(config: ConfigDict) -> range:
    """The folds that are this process's to do."""
    from vfseg import processes
    from vfseg.config.check import check_config

    if (_PROCESSES.value is None) != (_PROCESS.value is None):
        raise UserError("--processes and --process go together.")
    if _DISTRIBUTED.value and _PROCESSES.value is not None:
        raise UserError("--distributed finds out for itself: leave out --processes, --process.")
    check_config(config)
    if not config.split.folds:
        raise UserError("--folds: say how many there are, with --config.split.folds=K.")
    alone = _PROCESSES.value is None
    index, count = (0, 1) if alone else (_PROCESS.value or 0, _PROCESSES.value or 0)
    if not 0 <= index < count:
        raise UserError(f"--process={index}: expected 0 to {count - 1}, since --processes={count}.")
    if _DISTRIBUTED.value:
        index, count = processes.apart()
    return range(index, config.split.folds, count)


def _dispatch(config_path: str | None) -> None:
    # Imported here, so that --help and a wrong flag answer at once.
    from vfseg import processes
    from vfseg.commands import pipeline, predict, ship
    from vfseg.training.interrupt import INTERRUPT

    if not processes.is_first():
        logging.set_verbosity(logging.WARNING)
    if _FOLDS.value and _MODE.value not in _FOLD_MODES:
        raise UserError(f"--folds goes with --mode {', '.join(_FOLD_MODES)}.")
    if _FOLDS.value and (_COORDINATOR.value or _COMPARE.value or _FUSIONS.value):
        raise UserError("--folds goes without --coordinator, --compare and --fusions.")
    if _MODE.value == "predict":
        predict.predict(
            input_path=_required(_INPUT),
            vertebrae=_optional(_VERTEBRAE),
            boxes=_optional(_BOXES),
            output=_required(_OUTPUT),
            checkpoints=_checkpoints(config_path),
            vertebra_scheme=_SCHEME.value,
            boxes_inclusive=_INCLUSIVE.value,
            overwrite=_OVERWRITE.value,
        )
        return
    for holder in (_INPUT, _VERTEBRAE, _BOXES, _CHECKPOINT):
        if holder.value:
            raise UserError(f"--{holder.name} goes with --mode predict.")
    config = _loaded_config()
    if config is None or config_path is None:
        raise UserError("name a config, for instance --config configs/quickstart.py")
    if not isinstance(config, ConfigDict):
        raise UserError(f"--config {config_path}: get_config() must return a ConfigDict.")
    config.lock()
    if _SCHEME.value is not None:
        config.prepare.vertebra_scheme = _SCHEME.value
        config.virtual_fractures.vertebra_scheme = _SCHEME.value
    if _INCLUSIVE.value:
        config.prepare.boxes_inclusive = True
    if _COMPARE.value and _MODE.value != "evaluate":
        raise UserError("--compare goes with --mode evaluate.")
    if _FUSIONS.value and _MODE.value != "evaluate":
        raise UserError("--fusions goes with --mode evaluate.")
    workdir = _workdir(config_path or "")
    if _MODE.value in ("run", "train"):
        INTERRUPT.listen()
    stages: dict[str, Callable[[ConfigDict, Path], Any]] = {
        "run": pipeline.run,
        "audit": pipeline.audit,
        "prepare": pipeline.prepare,
        "train": pipeline.train_model,
        "evaluate": pipeline.evaluate,
        "report": pipeline.report,
        "ship": functools.partial(ship.ship, folder=_optional(_OUTPUT)),
    }
    if _COMPARE.value:
        pipeline.compare_with(config, workdir, Path(_COMPARE.value))
    if _FUSIONS.value:
        pipeline.compare_fusion(config, workdir)
    if _FOLDS.value:
        for fold in _folds(config):
            config.split.fold = fold
            stages[_MODE.value](config, workdir / f"fold-{fold}")
    elif not (_COMPARE.value or _FUSIONS.value):
        stages[_MODE.value](config, workdir)


def _workdir(config_path: str) -> Path:
    """The workdir, made if need be, and known to be writable."""
    workdir = _workdir_path(config_path)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        probe = workdir / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process of the run may have been faster
    except OSError as error:
        raise UserError(
            f"--workdir {workdir}: cannot be written ({error.strerror}). Choose another folder."
        ) from error
    return workdir


def _workdir_path(config_path: str) -> Path:
    """`--workdir`, else `runs/NAME` or `runs/NAME-VARIANT`."""
    path, _, variant = config_path.partition(":")
    name = "-".join(part for part in (Path(path).stem, variant) if part)
    return Path(_WORKDIR.value) if _WORKDIR.value else Path("runs") / name


def _checkpoints(config_path: str | None) -> Path | None:
    if _CHECKPOINT.value:
        return Path(_CHECKPOINT.value)
    if _WORKDIR.value or config_path:
        return _workdir_path(config_path or "") / "checkpoints"
    return None


def _required(holder: flags.FlagHolder) -> Path:
    if not holder.value:
        raise UserError(f"--mode predict needs --{holder.name}.")
    return Path(holder.value)


def _optional(holder: flags.FlagHolder) -> Path | None:
    return Path(holder.value) if holder.value else None


def _prepare_logging() -> None:
    """Our own lines from INFO on, those of libraries from WARNING on; plain text."""
    import logging as standard

    flags.FLAGS.mark_as_parsed()  # absl's own; unparsed, it warns at the first line
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    handler = logging.get_absl_handler()
    handler.setFormatter(standard.Formatter("%(message)s"))
    ours = os.path.dirname(os.path.abspath(__file__))
    handler.addFilter(
        lambda record: record.levelno >= standard.WARNING or record.pathname.startswith(ours)
    )


def _prepare_jax() -> None:
    """Compiled programs are kept between runs, unless JAX_COMPILATION_CACHE_DIR says where.

    A process that is alone on its machine computes on all of its cores.
    """
    import jax

    from vfseg.processes import use_cores

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        jax.config.update("jax_compilation_cache_dir", os.path.join(cache, "vfseg", "xla"))
    if not _DISTRIBUTED.value and _PROCESSES.value is None:
        use_cores()


if __name__ == "__main__":
    entry_point()
