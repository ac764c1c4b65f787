"""The loop: it owns every effect, the step none."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from absl import logging
from clu import metrics, parameter_overview
from tqdm import tqdm

from vfseg import processes
from vfseg.crops.settings import WindowSettings
from vfseg.crops.store import CaseRecord
from vfseg.crops.windows import BatchFeed, RunSource
from vfseg.devices import enough_memory
from vfseg.training.alarms import NEEDED, Alarms
from vfseg.training.checkpoints import Checkpoints
from vfseg.training.estimate import memory_words
from vfseg.training.interrupt import INTERRUPT
from vfseg.training.parallel import Step, make_runner
from vfseg.training.schedules import warm_up_steps
from vfseg.training.settings import StageSettings, TrainSettings
from vfseg.training.stages import Phase, Stage, plan_stages, stage_at
from vfseg.training.state import TrainState
from vfseg.training.writer import (
    MetricWriter,
    NoWriter,
    damaged_metrics,
    open_writer,
    read_metrics,
)

_TRAIN = "train/"
_TAKES_LESS = (
    "A smaller config.windows.batch_size takes less, and so do fewer config.windows.targets or a "
    "smaller config.prepare.crop_shape, each in a new --workdir; more devices share a batch. What "
    "was saved is kept."
)
_SHOWN = ("loss", "dice_loss", "discriminator_accuracy", "slices_per_second")

Validate = Callable[[Any], Mapping[str, float | np.ndarray]]
"""Generator parameters (host) -> scores, and pictures `h w c` uint8 for TensorBoard; `pr_auc` picks
the best checkpoint. Every process calls it, and gets the same scores."""


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """A training run as the loop sees it; `vfseg.config.recipe.training_plan` makes it.

    Attributes:
        step: `(state, batch, *, phase, axis_name)` -> `(state, metrics)`.
        initial_state: state at step 0, on the host.
        pretrained: the generator's parameters at step 0 -> those that training begins with.
        stages: steps of each.
        frozen: whether a part of the encoder stays as loaded until fine-tuning.
        settings: optimisers and rhythm.
        windows: how batches are drawn.
        everywhere: whether the discriminator judges all patches, see `Alarms`.
        parallel: how devices share a step, one of `RUNNERS`.
        seed: of the batches.
        config: the resolved config, kept in every checkpoint.
    """

    step: Step
    initial_state: Callable[[], TrainState]
    pretrained: Callable[[Any], Any]
    stages: StageSettings
    frozen: bool
    settings: TrainSettings
    windows: WindowSettings
    everywhere: bool
    parallel: str
    seed: int
    config: Mapping[str, Any]

    def validates(self, done: int) -> bool:
        """Whether a validation follows the step after which `done` are done."""
        every = self.settings.validate_every
        return done > 0 and (done % every == 0 or done == self.stages.total)


class _Begun(NamedTuple):
    """Where a run stands before its first step.

    Attributes:
        state: on the host.
        next_sample: global index.
        validated: whether the state has been validated.
        checkpoints: of the run.
    """

    state: TrainState
    next_sample: int
    validated: bool
    checkpoints: Checkpoints


def train(
    plan: TrainingPlan,
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
        plan: what is trained, and how.
        workdir: checkpoints, metrics and events go here.
        store: folder of the prepared crops.
        records: training cases.
        validate: scores the running mean of the parameters.

    Raises:
        SystemExit: on SIGTERM or SIGINT, when the state is saved; see `interrupt`.
        UserError: training went wrong, see `Alarms`; there is not enough memory for a batch.
    """
    begun = _begin(plan, workdir, records)
    done, steps, windows = int(begun.state.step), plan.stages.total, plan.windows
    if done >= steps and begun.validated:
        logging.info("training stands at step %d of %d", done, steps)
        return
    source = RunSource(store, records, windows, seed=plan.seed, length=steps * windows.batch_size)
    feed = BatchFeed(
        source, windows.batch_size, process=processes.index(), processes=processes.count()
    )
    feed.position = begun.next_sample
    writer = open_writer(workdir, resume_at=done, validated=begun.validated)
    loop = _Loop(plan, feed, writer, begun.checkpoints, validate, _alarms(plan, workdir))
    try:
        with enough_memory(_TAKES_LESS):
            if not begun.validated and plan.validates(done):  # it was stopped in between
                loop.validate(begun.state)
            loop.run(begun.state)
    finally:
        feed.close()
        writer.close()


def _begin(plan: TrainingPlan, workdir: Path, records: Sequence[CaseRecord]) -> _Begun:
    state, next_sample, validated = plan.initial_state(), 0, True
    newest = processes.from_first(lambda: _resume(workdir), int)
    checkpoints = Checkpoints(workdir / "checkpoints")
    if newest is None:
        g_params = plan.pretrained(state.g_params)
        state = dataclasses.replace(state, g_params=g_params, ema_params=g_params)
        params = {"generator": state.g_params, "discriminator": state.d_params}
        overview = parameter_overview.get_parameter_overview(params, include_stats=False)
        logging.info("parameters\n%s", overview)
        crops = sum(len(record.crops) for record in records)
        logging.info("training on %d crops of %d cases", crops, len(records))
    else:
        state, next_sample, _ = checkpoints.restore(newest, state)
        validated = processes.from_first(lambda: checkpoints.is_scored(newest), bool)
        logging.info("resuming at step %d", newest)
    INTERRUPT.saved(int(state.step))
    return _Begun(state, next_sample, validated, checkpoints)


def _resume(workdir: Path) -> int | None:
    return Checkpoints(workdir / "checkpoints", create=True).resume()


def _alarms(plan: TrainingPlan, workdir: Path) -> Alarms:
    """The alarms of a run, on every process with all that was logged before it was resumed."""
    alarms = Alarms(
        plan.settings.patience * plan.settings.log_every,
        begin=warm_up_steps(plan.stages.total - plan.stages.fine_tune),
        everywhere=plan.everywhere,
    )
    path, kind = workdir / "metrics.jsonl", list[dict[str, float]]
    for line in processes.from_first(lambda: read_metrics(path), kind):
        scalars = {n.removeprefix(_TRAIN): x for n, x in line.items() if n.startswith(_TRAIN)}
        if scalars and not scalars.keys() >= set(NEEDED):
            lacking = ", ".join(_TRAIN + name for name in NEEDED if name not in scalars)
            raise damaged_metrics(path, f"the line of step {line['step']} lacks {lacking}")
        if scalars:
            alarms.recall(int(line["step"]), scalars)
    return alarms


class _Loop:
    """What happens around the steps of a run: batches, log, alarms, checkpoints, validations."""

    def __init__(
        self,
        plan: TrainingPlan,
        feed: BatchFeed,
        writer: MetricWriter | NoWriter,
        checkpoints: Checkpoints,
        validate: Validate,
        alarms: Alarms,
    ):
        self._plan, self._feed, self._writer, self._alarms = plan, feed, writer, alarms
        self._checkpoints, self._validate = checkpoints, validate
        self._runner = make_runner(plan.step, plan.parallel, plan.windows.batch_size)
        self._pending: list[metrics.Collection] = []
        self._since = 0.0

    def run(self, host: TrainState) -> None:
        """All steps from a state on."""
        plan, runner, every = self._plan, self._runner, self._plan.settings
        stages, steps = plan_stages(plan.stages, frozen=plan.frozen), plan.stages.total
        turns = {stage.first: stage for stage in stages}
        first = saved = int(host.step)
        state = runner.put_state(host)
        self._compile(state, [stage for stage in stages if stage.last > first])
        self._since = time.monotonic()
        silent = None if processes.is_first() else True
        bar = tqdm(range(first, steps), "train", steps, initial=first, unit="step", disable=silent)
        for number in bar:
            if INTERRUPT.stops_at(number):
                if self._pending:
                    self._log(number, bar)
                if number > saved:
                    self._save(runner.get(state))
                _stop()
            if number in turns:
                logging.info("step %d: stage %s", number, turns[number].name)
            state = self._step(state, stage_at(stages, number).phase)
            done = number + 1
            turning = done in turns  # lines of two stages are not averaged
            validating = plan.validates(done)
            # Saved where the next step compiles or validation comes: there SIGTERM cannot wait.
            saving = turning or validating or done % every.save_every == 0
            if saving or done % every.log_every == 0:
                self._log(done, bar)  # what is saved has passed the alarms
            if saving:
                host = runner.get(state)
                self._save(host)
                saved = done
                if validating:
                    self.validate(host)
                self._since = time.monotonic()
        if INTERRUPT.stops_at(steps):
            _stop()

    def _compile(self, state: TrainState, stages: Sequence[Stage]) -> None:
        """Compiles the steps of the stages to come, and says what they take of memory.

        All of them now: that memory is too small for the last stage is known before the first.
        """
        phases = dict.fromkeys(stage.phase for stage in stages)
        if not phases:
            return
        logging.info("compiling the steps of %s", ", ".join(stage.name for stage in stages))
        shapes = self._feed.shapes
        programs = [self._runner.compile(state, shapes, phase=phase) for phase in phases]
        logging.info("training takes %s", memory_words(programs))

    def _step(self, state: TrainState, phase: Phase) -> TrainState:
        batch = self._runner.put_batch(next(self._feed))
        state, step_metrics = self._runner.step(state, batch, phase=phase)
        self._pending.append(step_metrics)
        return state

    def _log(self, done: int, bar: tqdm) -> None:
        """Writes the means since the last line; the bar tells steps and time left by itself."""
        scalars = _reduce(self._runner.get(self._pending))
        now, windows = time.monotonic(), self._plan.windows
        slices = len(self._pending) * windows.batch_size * windows.targets  # of all processes
        scalars["slices_per_second"] = slices / (now - self._since)
        self._writer.write(done, {_TRAIN + name: value for name, value in scalars.items()})
        self._alarms.check(done, scalars)
        bar.set_postfix({name: f"{scalars[name]:.3f}" for name in _SHOWN if name in scalars})
        self._pending, self._since = [], now

    def _save(self, host: TrainState) -> None:
        """Saves, and waits: from here on the checkpoint is everyone's."""
        self._checkpoints.save(host, next_sample=self._feed.position, config=self._plan.config)
        processes.wait()
        INTERRUPT.saved(int(host.step))

    def validate(self, host: TrainState) -> None:
        """Scores the checkpoint that was just written."""
        done, found = int(host.step), self._validate(host.ema_params)
        scores = {name: float(value) for name, value in found.items() if np.ndim(value) == 0}
        self._writer.write(done, {f"validation/{name}": value for name, value in scores.items()})
        for name, picture in found.items():
            if np.ndim(picture) > 0:
                self._writer.write_image(done, f"validation/{name}", np.asarray(picture))
        logging.info("step %d: validation PR-AUC %.3f", done, scores["pr_auc"])
        if processes.is_first():
            self._checkpoints.score(done, scores["pr_auc"])


def _stop() -> NoReturn:
    INTERRUPT.say()
    raise SystemExit(INTERRUPT.status)


def _reduce(collected: Sequence[metrics.Collection]) -> dict[str, float]:
    merged = functools.reduce(lambda a, b: a.merge(b), collected)
    return {name: float(value) for name, value in merged.compute().items()}
