"""Command line of vfseg: parses, checks and dispatches; nothing else.

    python -m vfseg.main --config configs/NAME.py [--workdir DIR] [--mode MODE] [--config.KEY=VALUE]
    python -m vfseg.main --mode predict --input CT --vertebrae LABELS --output DIR

Many processes make one run, each with the same command and a workdir that all of them see:
`--distributed` under SLURM, Kubernetes, Open MPI or on a TPU pod; elsewhere each is given
`--coordinator=HOST:PORT --processes=N --process=I`.

A workdir, or the --output of a prediction, belongs to one run at a time: a second one is refused.

`--folds` runs all folds of a cross-validation (`--config.split.folds=K`), each one in a folder
`fold-I` of the workdir, all from one store. With several processes each takes its part of the
folds, and works for itself: `--distributed`, or `--processes=N --process=I`. `--data DIR` keeps
cohorts and store apart from the workdir, so that other runs can share them too.

Exit status: 0 done, 2 something that the user can mend (one message), 1 anything else.
"""

import contextlib
import dataclasses
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from absl import logging

from vfseg.commands import flags
from vfseg.errors import UserError
from vfseg.files import full_disk_named

if TYPE_CHECKING:
    from vfseg.commands.workdir import Run


def main(arguments: Sequence[str]) -> int:
    """Runs the program with `sys.argv`; returns the exit status."""
    try:
        flags.parse(arguments)
        if flags.HELP.value:
            print(f"{__doc__}\n{flags.FLAGS.get_help()}")
            return 0
        flags.check()
        _prepare_logging()
        _prepare_jax()
        with contextlib.nullcontext() if flags.FOLDS.value else _joined(), full_disk_named():
            _dispatch()
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

    if not processes.is_first():
        logging.set_verbosity(logging.WARNING)
    if flags.MODE.value == "predict":
        from vfseg.commands.predict import predict

        predict(flags.request())
        return
    if flags.MODE.value in ("run", "train"):
        from vfseg.training.interrupt import INTERRUPT

        INTERRUPT.listen()
    for run in _runs():
        with run.alone():
            _command()(run)


def _runs() -> Iterator["Run"]:
    """The run that the flags ask for, or this process's part of the runs of its folds."""
    config, workdir = flags.config(), flags.workdir()
    from vfseg.commands.workdir import Run

    data = Path(flags.DATA.value) if flags.DATA.value else workdir
    make = functools.partial(Run, data=data, follow_links=flags.FOLLOW_LINKS.value)
    if not flags.FOLDS.value:
        yield make(config, workdir)
        return
    for fold in flags.folds(config.split.folds):
        of_fold = dataclasses.replace(config, split=dataclasses.replace(config.split, fold=fold))
        yield make(of_fold, workdir / f"fold-{fold}")


def _command() -> Callable[["Run"], None]:
    """What the flags ask to do with a run; no mode waits for the imports of another."""
    if flags.COMPARE.value or flags.FUSIONS.value:
        return _compare
    mode = flags.MODE.value
    module = importlib.import_module(f"vfseg.commands.{mode}")
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
    if not flags.DISTRIBUTED.value and flags.PROCESSES.value is None:
        use_cores()


if __name__ == "__main__":
    entry_point()
