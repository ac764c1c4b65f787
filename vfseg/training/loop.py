"""The loop: it owns every effect, the step none."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from absl import logging
from clu import metrics, parameter_overview
from ml_collections import ConfigDict
from tqdm import tqdm

from vfseg import processes
from vfseg.crops.store import CaseRecord
from vfseg.crops.windows import BatchFeed, RunSource
from vfseg.data.geometry import PLANE_AXES
from vfseg.training.alarms import Alarms
from vfseg.training.checkpoints import Checkpoints
from vfseg.training.interrupt import INTERRUPT
from vfseg.training.parallel import make_runner
from vfseg.training.recipe import pretrained_params, step_settings, window_settings
from vfseg.training.schedules import warm_up_steps
from vfseg.training.stages import plan_stages, stage_at, total_steps
from vfseg.training.state import TrainState, create_state
from vfseg.training.step import train_step
from vfseg.training.writer import MetricWriter, NoWriter, open_writer, read_metrics

_TRAIN = "train/"

Validate = Callable[[Any], Mapping[str, float | np.ndarray]]


def train(
    config: ConfigDict,
    workdir: Path,
    store: Path,
    records: Sequence[CaseRecord],
    validate: Validate,
) -> None:
    """Trains through all stages, from the newest checkpoint of the workdir if there is one.

    A checkpoint is written every `save_every` steps, where a stage ends and before each validation,
    which comes every `validate_every` steps and at the end; a run that is stopped continues from
    the newest exactly as if it had not been. Several processes each read their part of every batch;
    the first one writes.

    Args:
        config: resolved.
        workdir: checkpoints, metrics and events go here.
        store: folder of the prepared crops.
        records: training cases.
        validate: generator parameters (host) -> scores, and pictures `h w c` uint8 for TensorBoard;
            `pr_auc` picks the best checkpoint. The parameters are the running mean of the trained
            ones. Every process calls it, and gets the same scores.

    Raises:
        SystemExit: with status 0, on SIGTERM, when the state is saved; see `interrupt`.
        UserError: training went wrong, see `Alarms`.
    """
    windows, settings = window_settings(config), step_settings(config)
    state, checkpoints, next_sample, scored = _begin(config, workdir, records)
    done, steps = int(state.step), total_steps(config)
    if done >= steps and scored:
        logging.info("training stands at step %d of %d", done, steps)
        return
    source = RunSource(store, records, windows, seed=config.seed, length=steps * windows.batch_size)
    feed = BatchFeed(
        source, windows.batch_size, process=processes.index(), processes=processes.count()
    )
    feed.position = next_sample
    step = functools.partial(train_step, settings=settings)
    runner = make_runner(step, config.parallel, windows.batch_size)
    writer = open_writer(workdir, resume_at=done, validated=scored)
    alarms = _alarms(config, workdir)
    try:
        if not scored and _validates(config, done):  # it was stopped in between
            _validate(done, state, checkpoints, writer, validate)
        state = runner.put_state(state)
        _steps(config, state, runner, feed, writer, alarms, checkpoints, validate)
    finally:
        feed.close()
        writer.close()


def initial_state(config: ConfigDict) -> TrainState:
    """State at step 0 of a config, on the host."""
    settings, windows = step_settings(config), window_settings(config)
    axis = PLANE_AXES[windows.planes[0]]  # with several, all slices have one shape
    slices = [size for i, size in enumerate(config.prepare.crop_shape) if i != axis]
    run = windows.length + windows.targets - 1
    return create_state(
        settings.generator.network,
        settings.adversary.network,
        settings.generator.optimizer,
        settings.adversary.optimizer,
        ct_shape=(1, run, *slices, len(config.hu_windows)),
        seed=config.seed,
    )


def _begin(
    config: ConfigDict, workdir: Path, records: Sequence[CaseRecord]
) -> tuple[TrainState, Checkpoints, int, bool]:
    """State, checkpoints, next sample, and whether the state has been validated."""
    state, next_sample, scored = initial_state(config), 0, True
    checkpoints, newest = processes.from_first(lambda: _open(workdir))
    if newest is None:
        g_params = pretrained_params(config, state.g_params)
        state = dataclasses.replace(state, g_params=g_params, ema_params=g_params)
        overview = parameter_overview.get_parameter_overview
        logging.info("generator\n%s", overview(state.g_params, include_stats=False))
        logging.info("discriminator\n%s", overview(state.d_params, include_stats=False))
        crops = sum(len(record.crops) for record in records)
        logging.info("training on %d crops of %d cases", crops, len(records))
    else:
        state, next_sample, _ = checkpoints.restore(newest, state)
        scored = processes.from_first(lambda: checkpoints.is_scored(newest))
        logging.info("resuming at step %d", newest)
    INTERRUPT.saved(int(state.step))
    return state, checkpoints, next_sample, scored


def _open(workdir: Path) -> tuple[Checkpoints, int | None]:
    checkpoints = Checkpoints(workdir / "checkpoints", create=True)
    return checkpoints, checkpoints.newest


def _alarms(config: ConfigDict, workdir: Path) -> Alarms:
    """The alarms of a run, on every process with all that was logged before it was resumed."""
    train = config.train
    alarms = Alarms(
        train.patience * train.log_every,
        begin=warm_up_steps(total_steps(config) - config.stages.fine_tune),
        everywhere=config.losses.adversarial_everywhere,
    )
    for line in processes.from_first(lambda: read_metrics(workdir / "metrics.jsonl")):
        scalars = {n.removeprefix(_TRAIN): x for n, x in line.items() if n.startswith(_TRAIN)}
        if scalars:
            alarms.recall(int(line["step"]), scalars)
    return alarms


def _steps(
    config: ConfigDict,
    state: TrainState,
    runner: Any,
    feed: BatchFeed,
    writer: MetricWriter | NoWriter,
    alarms: Alarms,
    checkpoints: Checkpoints,
    validate: Validate,
) -> None:
    stages, steps = plan_stages(config), total_steps(config)
    turns = {stage.first: stage for stage in stages}
    first = saved = int(runner.get(state).step)
    pending: list[metrics.Collection] = []
    since = time.monotonic()
    # Slices looked at, of all processes; the bar itself tells the steps and the time left.
    slices = config.windows.batch_size * config.windows.targets

    def log(done: int) -> None:
        nonlocal pending, since
        scalars = _reduce(runner.get(pending))
        now = time.monotonic()
        scalars["slices_per_second"] = len(pending) * slices / (now - since)
        writer.write(done, {_TRAIN + name: value for name, value in scalars.items()})
        alarms.check(done, scalars)
        bar.set_postfix({name: f"{scalars[name]:.3f}" for name in _SHOWN if name in scalars})
        pending, since = [], now

    silent = None if processes.is_first() else True
    bar = tqdm(range(first, steps), "train", steps, initial=first, unit="step", disable=silent)
    for number in bar:
        if INTERRUPT.stops_at(number):
            if pending:
                log(number)
            if number > saved:
                _save(config, runner.get(state), feed, checkpoints)
            _stop(number)
        if number in turns:
            logging.info("step %d: stage %s", number, turns[number].name)
        batch = runner.put_batch(next(feed))
        state, step_metrics = runner.step(state, batch, phase=stage_at(stages, number).phase)
        pending.append(step_metrics)
        done = number + 1
        turning = done in turns  # lines of two stages are not averaged
        validating = _validates(config, done)
        # Saved where the next step compiles or validation comes: there SIGTERM cannot wait.
        saving = turning or validating or done % config.train.save_every == 0
        if saving or done % config.train.log_every == 0:
            log(done)  # what is saved has passed the alarms
        if saving:
            host = runner.get(state)
            _save(config, host, feed, checkpoints)
            saved = done
            if validating:
                _validate(done, host, checkpoints, writer, validate)
            since = time.monotonic()
    if INTERRUPT.stops_at(steps):
        _stop(steps)


def _validates(config: ConfigDict, done: int) -> bool:
    return done > 0 and (done % config.train.validate_every == 0 or done == total_steps(config))


def _save(config: ConfigDict, host: TrainState, feed: BatchFeed, checkpoints: Checkpoints) -> None:
    """Saves, and waits: from here on the checkpoint is everyone's."""
    checkpoints.save(host, next_sample=feed.position, config=config.to_dict())
    processes.wait()
    INTERRUPT.saved(int(host.step))


def _validate(
    done: int,
    host: TrainState,
    checkpoints: Checkpoints,
    writer: MetricWriter | NoWriter,
    validate: Validate,
) -> None:
    """Scores the checkpoint that was just written."""
    found = validate(host.ema_params)
    scores = {name: float(value) for name, value in found.items() if np.ndim(value) == 0}
    writer.write(done, {f"validation/{name}": value for name, value in scores.items()})
    for name, picture in found.items():
        if np.ndim(picture) > 0:
            writer.write_image(done, f"validation/{name}", np.asarray(picture))
    logging.info("step %d: validation PR-AUC %.3f", done, scores["pr_auc"])
    if processes.is_first():
        checkpoints.score(done, scores["pr_auc"])


def _stop(step: int) -> NoReturn:
    logging.info("SIGTERM: stopped after step %d; the same command continues", step)
    raise SystemExit(0)


_SHOWN = ("loss", "dice_loss", "discriminator_accuracy", "slices_per_second")


def _reduce(collected: Sequence[metrics.Collection]) -> dict[str, float]:
    merged = functools.reduce(lambda a, b: a.merge(b), collected)
    return {name: float(value) for name, value in merged.compute().items()}
