"""The loop: it owns every effect, the step none."""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import logging
from clu import metrics, parameter_overview
from ml_collections import ConfigDict
from tqdm import tqdm

from vfseg.data.prepare import PLANES
from vfseg.data.store import CaseRecord
from vfseg.data.windows import BatchFeed, RunSource
from vfseg.training.checkpoints import Checkpoints
from vfseg.training.parallel import make_runner
from vfseg.training.recipe import adversarial_start, step_settings, window_settings
from vfseg.training.state import TrainState, create_state
from vfseg.training.step import train_step
from vfseg.training.writer import MetricWriter

Validate = Callable[[Any], Mapping[str, float]]


def train(
    config: ConfigDict,
    workdir: Path,
    store: Path,
    records: Sequence[CaseRecord],
    validate: Validate,
) -> None:
    """Trains to `config.train.steps`, from the newest checkpoint of the workdir if there is one.

    Every `validate_every` steps, and at the end, the validation score is taken and a checkpoint
    written; a run that is stopped continues from there exactly as if it had not been.

    Args:
      config: resolved.
      workdir: checkpoints, metrics and events go here.
      store: folder of the prepared crops.
      records: training cases.
      validate: generator parameters (host) -> scores; `pr_auc` picks the best checkpoint.
    """
    windows, settings = window_settings(config), step_settings(config)
    state, checkpoints, next_sample = _begin(config, workdir, records)
    try:
        done = int(state.step)
        if done >= config.train.steps:
            logging.info("training stands at step %d of %d", done, config.train.steps)
            return
        processes = jax.process_count()
        source = RunSource(
            store,
            records,
            windows,
            seed=config.seed,
            length=config.train.steps * windows.batch_size,
        )
        feed = BatchFeed(
            source, windows.batch_size, process=jax.process_index(), processes=processes
        )
        feed.position = next_sample
        step = functools.partial(train_step, settings=settings)
        runner = make_runner(step, config.parallel, windows.batch_size)
        writer = MetricWriter(workdir, resume_at=done)
        try:
            _steps(config, runner.put_state(state), runner, feed, writer, checkpoints, validate)
        finally:
            feed.close()
            writer.close()
    finally:
        checkpoints.close()


def initial_state(config: ConfigDict) -> TrainState:
    """State at step 0 of a config, on the host."""
    settings, windows = step_settings(config), window_settings(config)
    slices = [s for i, s in enumerate(config.prepare.crop_shape) if i != PLANES[windows.plane]]
    run = windows.length + windows.targets - 1
    return create_state(
        settings.generator,
        settings.discriminator,
        settings.g_optimizer,
        settings.d_optimizer,
        ct_shape=(1, run, *slices, len(config.hu_windows)),
        seed=config.seed,
    )


def _begin(
    config: ConfigDict, workdir: Path, records: Sequence[CaseRecord]
) -> tuple[TrainState, Checkpoints, int]:
    state, next_sample = initial_state(config), 0
    checkpoints = Checkpoints(workdir / "checkpoints", create=True)
    newest = checkpoints.newest
    if newest is None:
        overview = parameter_overview.get_parameter_overview
        logging.info("generator\n%s", overview(state.g_params, include_stats=False))
        logging.info("discriminator\n%s", overview(state.d_params, include_stats=False))
        crops = sum(len(record.crops) for record in records)
        logging.info("training on %d crops of %d cases", crops, len(records))
    else:
        state, next_sample, _ = checkpoints.restore(newest, state)
        logging.info("resuming at step %d", newest)
    return state, checkpoints, next_sample


def _steps(
    config: ConfigDict,
    state: TrainState,
    runner: Any,
    feed: BatchFeed,
    writer: MetricWriter,
    checkpoints: Checkpoints,
    validate: Validate,
) -> None:
    steps, start = config.train.steps, adversarial_start(config)
    first = int(runner.get(state).step)
    pending: list[metrics.Collection] = []
    since = time.monotonic()
    bar = tqdm(range(first, steps), "train", steps, initial=first, unit="step", disable=None)
    for number in bar:
        if number == start:
            logging.info("step %d: the discriminator joins in", number)
        batch = runner.put_batch(next(feed))
        state, step_metrics = runner.step(state, batch, adversarial=number >= start)
        pending.append(step_metrics)
        done = number + 1
        turning = done in (start, steps)
        validating = done % config.train.validate_every == 0 or done == steps
        if done % config.train.log_every == 0 or turning or validating:
            scalars = _reduce(runner.get(pending))
            now = time.monotonic()
            windows = len(pending) * config.windows.batch_size * config.windows.targets
            scalars["windows_per_second"] = windows / (now - since)
            writer.write(done, {f"train/{name}": value for name, value in scalars.items()})
            bar.set_postfix({name: f"{scalars[name]:.3f}" for name in _SHOWN if name in scalars})
            pending, since = [], now
        if validating:
            host = runner.get(state)
            scores = validate(host.g_params)
            writer.write(done, {f"validation/{name}": value for name, value in scores.items()})
            logging.info("step %d: validation PR-AUC %.3f", done, scores["pr_auc"])
            checkpoints.save(
                host,
                next_sample=feed.position,
                config=config.to_dict(),
                validation_pr_auc=scores["pr_auc"],
            )
            since = time.monotonic()


_SHOWN = ("loss", "dice_loss", "discriminator_accuracy", "windows_per_second")


def _reduce(collected: Sequence[metrics.Collection]) -> dict[str, float]:
    merged = functools.reduce(lambda a, b: a.merge(b), collected)
    return {name: float(value) for name, value in merged.compute().items()}
