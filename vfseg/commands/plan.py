"""Mode `plan`: from a data set to a config for it, each setting with its reason.

The data set is read once, as by an audit; `vfseg.config.rules` decides.
"""

import shlex
from pathlib import Path
from typing import Any, NamedTuple

import jax

from vfseg import devices, processes
from vfseg.audit import Audit, audit_cases
from vfseg.audit.overview import Overview, overview
from vfseg.audit.text import audit_summary
from vfseg.commands.ship import FEWEST_PATIENTS
from vfseg.commands.workdir import Run
from vfseg.config.config import Config, read_config
from vfseg.config.derive import changed, load
from vfseg.config.plan_file import plan_text
from vfseg.config.rules import Machine
from vfseg.config.rules import plan as planned
from vfseg.crops.split_sizes import Outline, named_splits, outline
from vfseg.data.patients import count_people
from vfseg.data.settings import SPLITS
from vfseg.errors import UserError, quantity
from vfseg.files import atomic_file, check_new_file, make_sure_of

_UNTOLD_BYTES = 8e9
"""Of a device that does not say how much memory it has."""
_SCHEME = "prepare.vertebra_scheme"


class PlanRequest(NamedTuple):
    """What a plan is asked for.

    Attributes:
        base: file of the config that it is derived from.
        variant: of that config.
        given: dotted keys that the user set; they stay.
        output: the file to write, `NAME.py`.
        overwrite: replace one that stands there.
    """

    base: Path
    variant: str
    given: tuple[str, ...]
    output: Path
    overwrite: bool = False


def plan(run: Run, request: PlanRequest) -> None:
    """Writes a config that is planned for the cases of a run; the first of several processes does.

    Raises:
        UserError: the file stands, or cannot be written; the config names another network; what the
            user gave does not fit; too few patients, nobody for validation, no fracture, or too
            little memory.
    """
    if not processes.is_first():
        return
    _check(run.config, request)
    given = {key: _value(run.config, key) for key in request.given}
    if run.config.manifest and _SCHEME not in given:
        given[_SCHEME] = ""  # each label map says by its anatomy; phantoms would be read so, too
    recipe = changed(load(request.base, request.variant), given)
    config = read_config(recipe)
    cases, left_out = run.found
    audit = audit_cases(cases, config.prepare, left_out=left_out)
    _check_patients(audit)
    usable = [case.patient_id for case in audit.cases if case.usable]
    known = outline(usable, named_splits(cases), config.split)
    data, machine = overview(audit.cases, known.training_shares), _machine()
    _check_data(audit, data, known)
    rulings = planned(data, machine, recipe, given)
    read_config(changed(recipe, *(ruling.values for ruling in rulings)))
    figures = [*data.lines(), f"planned for {machine.words}"]
    text = plan_text(request.base, request.variant, given, rulings, figures)
    with atomic_file(request.output) as file:
        file.write(text.encode())
    print(text)
    named = shlex.quote(str(request.output))
    print(f"audit: {audit_summary(audit)}; vfseg audit {named} says more")
    print(f"planned: {request.output}\nvfseg run {named}")


def _check(config: Config, request: PlanRequest) -> None:
    """What can be told before the data set is read."""
    check_new_file(request.output, ".py", "a config", overwrite=request.overwrite)
    if config.network != "attention_unet":
        raise UserError(
            f"config.network={config.network!r}: only the Attention U-Net is planned. Name a "
            "config of it, such as vertebral_fracture."
        )
    make_sure_of(request.output.parent)


def _check_patients(audit: Audit) -> None:
    """Refuses a data set that is too small to be divided."""
    patients = count_people(case.patient_id for case in audit.cases if case.usable)
    if patients < FEWEST_PATIENTS:
        raise UserError(
            f"{quantity(patients, 'patient')} with a CT and vertebrae that can be used; a "
            f"plan needs {FEWEST_PATIENTS}: to train on, to choose thresholds by, to judge by. Add "
            "cases, or make some of the CTs with the config virtual_fractures or real_bone."
            f"{_errors_of(audit)}"
        )


def _check_data(audit: Audit, data: Overview, known: Outline) -> None:
    """Refuses a data set from which nothing can be learnt or judged."""
    if not (known.sizes[SPLITS.index("validation")] or known.folds):
        raise UserError(
            "no usable case in the split 'validation', and thresholds are chosen there. Name some "
            "in the column 'split' of the manifest, or leave the column empty and set the "
            "fractions in config.split."
        )
    if not data.training_lesions:
        where = "in the cases to train on" if data.lesions else "in any case"
        raise UserError(
            f"no fracture is marked {where}, so there is nothing to learn. Name masks in the "
            "column 'fractures' of the manifest; or have fractures made in healthy CTs: plan from "
            f"the config virtual_fractures or real_bone.{_errors_of(audit)}"
        )


def _errors_of(audit: Audit) -> str:
    """The first errors that an audit found, as the end of a message."""
    reasons = [finding.message for finding in audit.findings if finding.severity == "error"]
    return "\n  ".join(["", *reasons[:3]])


def _machine() -> Machine:
    kind = devices.kind()
    count = 1 if kind == "cpu" else jax.device_count()
    return Machine(kind, count, devices.memory_bytes() or _UNTOLD_BYTES)


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value
