"""The flags of the command line: what they are, and what they ask for."""

import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import ConfigDict, config_flags

from vfseg.config.config import Config, read_config, setting_names
from vfseg.config.derive import PACKAGED_CONFIGS
from vfseg.data.settings import SpineReading
from vfseg.errors import UserError
from vfseg.files import is_special_file, make_sure_of

if TYPE_CHECKING:  # imported where they are used, so that --help and a wrong flag answer at once
    from vfseg.commands.plan import PlanRequest
    from vfseg.commands.request import Request

CT_MODES = ("predict", "show", "pick", "find")
"""Modes that are about CTs of a user, and have no run and no config."""
RUN_MODES = ("run", "audit", "plan", "prepare", "train", "evaluate", "report", "ship")
"""Modes that are about a run, its config and its workdir."""
MODES = (*RUN_MODES, *CT_MODES, "export")
_NEEDED = {"input": "a CT (--input)", "output": "a place for what it writes (-o, --output)"}

FLAGS = flags.FlagValues()
config_flags.DEFINE_config_file(
    "config",
    None,
    "NAME of `vfseg configs`, or a file NAME.py, which is executed; override a key with "
    "--config.KEY=VALUE",
    flag_values=FLAGS,
)


def _string(
    name: str, default: str | None, text: str, short: str | None = None
) -> flags.FlagHolder:
    return flags.DEFINE_string(name, default, text, short_name=short, flag_values=FLAGS)


def _boolean(name: str, text: str, short: str | None = None) -> flags.FlagHolder:
    return flags.DEFINE_boolean(name, False, text, short_name=short, flag_values=FLAGS)


MODE = _string("mode", "run", f"one of {', '.join(MODES)}")
WORKDIR = _string(
    "workdir",
    None,
    "where a run keeps its results, default runs/NAME; of predict and export, the run whose model "
    "is taken",
)
DATA = _string("data", None, "cohorts and store, for runs to share; default the workdir")
INPUT = _string("input", None, "predict: the CT (NIfTI file, DICOM folder) or a folder of cases")
VERTEBRAE = _string(
    "vertebrae",
    None,
    "label map of the vertebrae (file, or folder of masks); predict: or auto (TotalSegmentator "
    "makes one), or find (experimental: from the CT alone), which it does where nothing is given",
)
BOXES = _string("boxes", None, "predict: box file, in place of --vertebrae")
POINTS = _string(
    "points", None, "predict: middles of the bodies, *_ctd.json or CSV of level,x,y,z in RAS mm"
)
LOWEST = _string(
    "lowest", None, "find, predict: level of the lowest vertebra that is found, such as L3"
)
SCHEME = _string("vertebra_scheme", None, "label scheme of the vertebra maps; else by anatomy")
INCLUSIVE = _boolean("boxes_inclusive", "boxes name the last voxel, not the one after it")
CHECKPOINT = _string(
    "checkpoint",
    None,
    "predict, export: the model, as WORKDIR/checkpoints or a step's folder in it",
)
OUTPUT = _string(
    "output",
    None,
    "folder of results (predict), of the model (ship, export); picture (show), page (pick), points "
    "(find), config (plan; default planned.py)",
    "o",
)
FOLLOW_LINKS = _boolean("follow_links", "symbolic links of a manifest may lead out of its folder")
OVERWRITE = _boolean(
    "overwrite", "predict, show, pick, find, plan, export: replace existing results"
)
EVERYWHERE = _boolean("everywhere", "predict: show also what lies away from the vertebrae")
DICOM = _boolean("dicom", "predict: results also as DICOM (SEG, map, SR), beside a DICOM series")
FUSIONS = _boolean("fusions", "evaluate: compare all rules of fusion")
COMPARE = _string("compare", None, "evaluate: workdir of another run on the same test cases")
FOLDS = _boolean("folds", "run, prepare, train, evaluate, report: all folds, shared out")
DISTRIBUTED = _boolean("distributed", "join the processes of the cluster that this runs on")
COORDINATOR = _string("coordinator", None, "HOST:PORT of process 0, to join processes elsewhere")
PROCESSES = flags.DEFINE_integer("processes", None, "how many there are", flag_values=FLAGS)
PROCESS = flags.DEFINE_integer("process", None, "which one this is, from 0", flag_values=FLAGS)
QUIET = _boolean("quiet", "no bars, and of the log only warnings; results are printed", "q")
VERBOSE = _boolean("verbose", "the whole log, and what libraries say in theirs", "v")
LOG_FILE = _string("log_file", None, "a file that gets the whole log and all that is printed")
HELP = _boolean("help", "show this text", "h")


def parse(arguments: Sequence[str]) -> None:
    """Reads the flags; what is wrong with them, or with the config file, is one message."""
    normal = _with_path_of_config([_with_underscores(argument) for argument in arguments])
    named = Path(_named_config(normal).partition(":")[0])
    if is_special_file(named):  # it would be waited for
        raise UserError(f"--config {named}: a pipe or a device. Name a config file.")
    try:
        rest, wrong = FLAGS(normal), None
    except Exception as error:  # whatever the user's own config file raises, too
        rest, wrong = [], error
    path = (_config_path() or _named_config(normal)).partition(":")[0]
    if path and not Path(path).is_file():
        folders = (Path("configs"), PACKAGED_CONFIGS)
        known = sorted({f"configs/{p.name}" for folder in folders for p in folder.glob("*.py")})
        stems = {Path(name).stem: name for name in known}
        near = difflib.get_close_matches(Path(path).stem, stems, 1)
        hint = f" Did you mean {stems[near[0]]}?" if near else ""
        raise UserError(f"--config {path}: no such file. There are {', '.join(known)}.{hint}")
    if isinstance(wrong, flags.Error):
        raise UserError(f"{_without_traceback(str(wrong))}. See --help.") from wrong
    if isinstance(wrong, AttributeError | KeyError | TypeError | ValueError):
        raise UserError(_key_message(normal, wrong)) from wrong
    if wrong is not None:
        raise UserError(f"--config {path}: {type(wrong).__name__}: {wrong}") from wrong
    if len(rest) > 1:
        raise UserError(
            f"{rest[1]!r}: expected flags only. A command comes first, as in vfseg predict CT. See "
            "--help."
        )
    if MODE.value not in MODES:
        near = difflib.get_close_matches(MODE.value, MODES, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"--mode {MODE.value}: expected one of {', '.join(MODES)}.{hint}")


def packaged_names() -> list[str]:
    """Names of the configs that come with the package."""
    return sorted(path.stem for path in PACKAGED_CONFIGS.glob("*.py"))


def _with_path_of_config(arguments: list[str]) -> list[str]:
    """Replaces the name of a config by its path.

    NAME is `configs/NAME.py`, and where there is none, that is the one which the package brings.
    """
    named = _named_config(arguments)
    name, _, variant = named.partition(":")
    path = Path(name)
    if name and not path.suffix and len(path.parts) == 1 and not path.is_file():
        path = Path("configs") / f"{name}.py"
    if path.parts[:1] == ("configs",) and not path.exists():
        packaged = PACKAGED_CONFIGS.parent / path
        if packaged.is_file():
            path = packaged
            print(f"config: {path}, which came with vfseg")
    there = f"{path}:{variant}" if variant else str(path)
    if path == Path(name):
        return arguments
    replaced = {f"--config={named}": f"--config={there}"}
    before = ["", *arguments]  # of each
    return [
        there if (flag, a) == ("--config", named) else replaced.get(a, a)
        for flag, a in zip(before, arguments)
    ]


def _config_path() -> str:
    """PATH or PATH:VARIANT of the config; empty where none is named."""
    try:
        return config_flags.get_config_filename(FLAGS["config"]) or ""
    except (AttributeError, flags.Error):  # none was named
        return ""


def _named_config(arguments: Sequence[str]) -> str:
    """What is given with --config, where the flags cannot be parsed."""
    joined = " ".join(f"{a}=" if a == "--config" else a for a in arguments)
    return joined.partition("--config=")[2].strip().partition(" ")[0]


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


def _key_message(arguments: Sequence[str], error: Exception) -> str:
    """Names the key that does not fit, and its nearest relative."""
    keys = setting_names()
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("--config.") and name[9:] not in keys:
            near = difflib.get_close_matches(name[9:], keys, 1)
            hint = f" Did you mean --config.{near[0]}?" if near else ""
            return f"{name}: no such key in the config.{hint}"
        if name.startswith("--config.") and isinstance(error, AttributeError | KeyError):
            return f"{name}: this config leaves the setting at its default. Set it in the file."
    return f"the config cannot be read ({error}). See --help."


def folds(number: int) -> range:
    """The folds, of so many, that are this process's to do."""
    from vfseg import processes

    if (PROCESSES.value is None) != (PROCESS.value is None):
        raise UserError("--processes and --process go together.")
    if DISTRIBUTED.value and PROCESSES.value is not None:
        raise UserError("--distributed finds out for itself: leave out --processes, --process.")
    if not number:
        raise UserError("--folds: say how many there are, with --config.split.folds=K.")
    alone = PROCESSES.value is None
    index, count = (0, 1) if alone else (PROCESS.value or 0, PROCESSES.value or 0)
    if not 0 <= index < count:
        raise UserError(f"--process={index}: expected 0 to {count - 1}, since --processes={count}.")
    if DISTRIBUTED.value:
        index, count = processes.apart()
    return range(index, number, count)


def request() -> "Request":
    """What `predict` or `show` is asked for."""
    from vfseg.commands.request import Request

    return Request(
        input=required(INPUT),
        vertebrae=path_of(VERTEBRAE),
        boxes=path_of(BOXES),
        points=path_of(POINTS),
        lowest=LOWEST.value,
        output=required(OUTPUT),
        model=model(),
        reading=SpineReading(vertebra_scheme=SCHEME.value or "", boxes_inclusive=INCLUSIVE.value),
        overwrite=OVERWRITE.value,
        everywhere=EVERYWHERE.value,
        dicom=DICOM.value,
        follow_links=FOLLOW_LINKS.value,
    )


def model() -> Path | None:
    """The model that is named, see `open_model`; None for the one of the package."""
    if CHECKPOINT.value or not (WORKDIR.value or _config_path()):
        return path_of(CHECKPOINT)
    return workdir_path()


def config() -> Config:
    """The config, read strictly, with what the flags say of label maps and boxes."""
    path = _config_path()
    if not path:
        raise UserError(
            f"{MODE.value} needs a config, as in vfseg {MODE.value} quickstart, or --config "
            "configs/quickstart.py. vfseg configs names those that come with vfseg."
        )
    values = FLAGS["config"].value
    if not isinstance(values, ConfigDict):
        raise UserError(f"--config {path}: get_config() must return a ConfigDict.")
    config = read_config(values)
    prepare, virtual = config.prepare, config.virtual_fractures
    if SCHEME.value is not None:
        prepare = dataclasses.replace(prepare, vertebra_scheme=SCHEME.value)
        virtual = dataclasses.replace(virtual, vertebra_scheme=SCHEME.value)
    if INCLUSIVE.value:
        prepare = dataclasses.replace(prepare, boxes_inclusive=True)
    return dataclasses.replace(config, prepare=prepare, virtual_fractures=virtual)


def plan_request() -> "PlanRequest":
    """What `plan` is asked for."""
    from vfseg.commands.plan import PlanRequest

    path, _, variant = _config_path().partition(":")
    given = list(config_flags.get_override_values(FLAGS["config"]))
    given += ["prepare.vertebra_scheme", "virtual_fractures.vertebra_scheme"] * bool(SCHEME.value)
    given += ["prepare.boxes_inclusive"] * INCLUSIVE.value
    return PlanRequest(Path(path), variant, tuple(given), _planned(), OVERWRITE.value)


def _planned() -> Path:
    return Path(OUTPUT.value or "planned.py")


def workdir() -> Path:
    """The workdir, made if need be, and known to be writable."""
    workdir = workdir_path()
    make_sure_of(workdir, stays=True)
    return workdir


def workdir_path() -> Path:
    """`--workdir`, else `runs/NAME` or `runs/NAME-VARIANT`; of a plan that of its config."""
    config = str(_planned()) if MODE.value == "plan" else _config_path()
    path, _, variant = config.partition(":")
    name = "-".join(part for part in (Path(path).stem, variant) if part)
    return Path(WORKDIR.value) if WORKDIR.value else Path("runs") / name


def required(holder: flags.FlagHolder) -> Path:
    """The path that a flag must name."""
    if not holder.value:
        name = MODE.value
        raise UserError(f"{name} needs {_NEEDED[holder.name]}. See vfseg {name} --help.")
    return Path(holder.value)


def path_of(holder: flags.FlagHolder) -> Path | None:
    """The path that a flag names; None where it is not given."""
    return Path(holder.value) if holder.value else None
