"""Command line of vfseg: parses, checks and dispatches; nothing else.

    vfseg predict CT --vertebrae LABELS -o DIR
    vfseg run NAME [--workdir DIR] [--config.KEY=VALUE]

`vfseg` alone lists all commands. Each is a mode, and all of it can be said by flags:

    python -m vfseg.main --config configs/NAME.py [--workdir DIR] [--mode MODE] [--config.KEY=VALUE]
    python -m vfseg.main --mode predict --input CT --vertebrae LABELS --output DIR

Many processes make one run, each with the same command and a workdir that all of them see:
`--distributed` under SLURM, Kubernetes, Open MPI or on a TPU pod; elsewhere each is given
`--coordinator=HOST:PORT --processes=N --process=I`.

A workdir, or the --output of a prediction, belongs to one run at a time: a second one is refused.

`--folds` runs all folds of a cross-validation (`--config.split.folds=K`), each one in a folder
`fold-I` of the workdir, all from one store. With several processes each takes its part of the
folds, and works for itself: `--distributed`, or `--processes=N --process=I`. In the end all of
them are taken together, in `evaluation` of the workdir. `--data DIR` keeps
cohorts and store apart from the workdir, so that other runs can share them too.

A config file is Python, and is executed: take none from people you would not take a program from.

Exit status: 0 done, or training saved on SIGTERM; 2 something that the user can mend (one message);
130 and 143 stopped by control C and by SIGTERM (a message says what is kept); 1 anything else.
"""

import contextlib
import dataclasses
import functools
import gc
import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import logging

from vfseg.commands import flags, logs
from vfseg.commands.answers import answer
from vfseg.commands.subcommands import as_flags, check
from vfseg.errors import UserError
from vfseg.files import check_there, full_disk_named, gone_if_empty
from vfseg.stopping import INTERRUPTED, STOP, Stopped

if TYPE_CHECKING:
    from vfseg.commands.workdir import Run

_TRAINING = ("run", "train", "ship")
"""Modes that train: they end on SIGTERM and SIGINT in a way of their own."""
_POOLING = ("run", "evaluate")
"""Modes after which all folds are taken together."""


def main(arguments: Sequence[str]) -> int:
    """Runs the program with `sys.argv`; returns the exit status."""
    gc.disable()  # until all is imported: none of that is garbage, and looking takes half a second
    try:
        answered = answer(arguments)
        if answered is not None:
            print(answered)
            return 0
        flags.parse(as_flags(arguments))
        if flags.HELP.value:
            print(f"{__doc__}\n{flags.FLAGS.get_help()}")
            return 0
        check()
        _prepare_logging()
        if flags.MODE.value in flags.CT_MODES:
            _look_at_input()
        if flags.MODE.value in ("show", "pick"):
            return 0
        if flags.MODE.value in flags.RUN_MODES:
            flags.config()  # before JAX is loaded: what is wrong with it is said now
        _prepare_jax()
        with contextlib.nullcontext() if flags.FOLDS.value else _joined(), full_disk_named():
            _dispatch()
    except UserError as error:
        return _ended(str(error), 2)
    except Stopped as stopped:
        return _ended(str(stopped), stopped.status)
    except KeyboardInterrupt:
        return _ended(INTERRUPTED, 130)
    except Exception:
        logs.note(traceback.format_exc())
        raise
    finally:
        gc.enable()
        logs.close()
    return 0


def _ended(why: str, status: int) -> int:
    print(f"vfseg: {why}", file=sys.stderr)
    logs.note(why)
    return status


def _look_at_input() -> None:
    """What can be told of a CT before JAX is loaded: what is wrong is said now."""
    for holder in (flags.INPUT, flags.VERTEBRAE, flags.BOXES, flags.POINTS):
        # As in vfseg.commands.request, which it takes NiBabel to import.
        made = holder is flags.VERTEBRAE and holder.value in ("auto", "find")
        if holder.value and not made:
            check_there(holder.value)  # before what reads it is imported
    from vfseg.commands.request import look_at

    request = flags.request()
    if flags.MODE.value in ("show", "pick"):
        _function_of_mode()(request)
    elif flags.MODE.value == "predict" and not flags.DISTRIBUTED.value and not flags.PROCESS.value:
        look_at(request)


def entry_point() -> None:
    """The `vfseg` command."""
    sys.exit(main(sys.argv))


def _joined() -> contextlib.AbstractContextManager[None]:
    """The processes of this run, where there are several."""
    named = {
        "--coordinator": flags.COORDINATOR,
        "--processes": flags.PROCESSES,
        "--process": flags.PROCESS,
    }
    missing = [name for name, holder in named.items() if holder.value is None]
    if not flags.DISTRIBUTED.value and len(missing) == len(named):
        return contextlib.nullcontext()
    if flags.DISTRIBUTED.value and len(missing) < len(named):
        raise UserError(f"--distributed finds out for itself: leave out {', '.join(named)}.")
    if not flags.DISTRIBUTED.value and missing:
        raise UserError(f"{', '.join(named)} go together: {', '.join(missing)} is missing.")
    from vfseg import processes

    return processes.together(flags.COORDINATOR.value, flags.PROCESSES.value, flags.PROCESS.value)


def _dispatch() -> None:
    # Imported here, so that --help and a wrong flag answer at once.
    from vfseg import processes
    from vfseg.devices import enough_memory

    if not processes.is_first():
        logging.set_verbosity(logging.WARNING)
    with enough_memory("Free some, or take a machine with more; the same command continues."):
        if flags.MODE.value in _TRAINING:
            from vfseg.training.interrupt import INTERRUPT

            INTERRUPT.listen()
            _work()
        else:
            with STOP.listening():
                _work()


def _work() -> None:
    """Does what the flags ask for."""
    from vfseg import devices

    if flags.MODE.value in ("predict", "find"):
        request = flags.request()
        devices.start()
        work = _function_of_mode()
        gc.enable()
        work(request)
        return
    if flags.MODE.value == "export":
        devices.start()
        from vfseg.commands.export import export

        folder = flags.required(flags.OUTPUT)
        export(flags.model(), folder, overwrite=flags.OVERWRITE.value)
        return
    with gone_if_empty(flags.workdir_path()):
        _work_on_runs()


def _work_on_runs() -> None:
    """Does what the flags ask to do with a run, or with those of all folds."""
    runs, own = _runs()
    for number in own:
        command = _command()
        gc.enable()
        with runs[number].alone():
            command(runs[number])
    if flags.FOLDS.value and flags.MODE.value in _POOLING:
        from vfseg.commands.cross_validation import pool

        pool(runs, flags.workdir(), anew=flags.MODE.value == "evaluate")


def _function_of_mode() -> Callable[..., None]:
    """The function that is named as the mode, in the module of that name."""
    mode = flags.MODE.value
    function: Callable[..., None] = getattr(importlib.import_module(f"vfseg.commands.{mode}"), mode)
    return function


def _runs() -> tuple[list["Run"], Sequence[int]]:
    """The run that the flags ask for, or those of all folds; which of them are this process's."""
    from vfseg import devices

    config, workdir = flags.config(), flags.workdir()
    folds = flags.folds(config.split.folds) if flags.FOLDS.value else None
    if flags.MODE.value != "audit":  # Orbax asks for them to read the config of a checkpoint
        devices.start()
    from vfseg.commands.workdir import Run
    from vfseg.config.folds import fold_workdir

    data = Path(flags.DATA.value) if flags.DATA.value else workdir
    make = functools.partial(Run, data=data, follow_links=flags.FOLLOW_LINKS.value)
    if folds is None:
        return [make(config, workdir)], (0,)
    splits = [dataclasses.replace(config.split, fold=n) for n in range(config.split.folds)]
    runs = [
        make(dataclasses.replace(config, split=split), fold_workdir(workdir, split.fold))
        for split in splits
    ]
    return runs, folds


def _command() -> Callable[["Run"], None]:
    """What the flags ask to do with a run; no mode waits for the imports of another."""
    if flags.COMPARE.value or flags.FUSIONS.value:
        return _compare
    mode = flags.MODE.value
    module = importlib.import_module(f"vfseg.commands.{mode}")
    if mode == "plan":
        return lambda run: module.plan(run, flags.plan_request())
    if mode == "ship":
        return lambda run: module.ship(run, flags.path_of(flags.OUTPUT))
    command: Callable[[Run], None] = getattr(module, "run_all" if mode == "run" else mode)
    return command


def _compare(run: "Run") -> None:
    from vfseg.commands import evaluate

    if flags.COMPARE.value:
        evaluate.compare_with(run, Path(flags.COMPARE.value))
    if flags.FUSIONS.value:
        evaluate.compare_fusion(run)


def _prepare_logging() -> None:
    logs.prepare(
        quiet=flags.QUIET.value, verbose=flags.VERBOSE.value, file=flags.path_of(flags.LOG_FILE)
    )


def _prepare_jax() -> None:
    from vfseg.commands.start import prepare_jax

    prepare_jax(alone=not flags.DISTRIBUTED.value and flags.PROCESSES.value is None)


if __name__ == "__main__":
    entry_point()
