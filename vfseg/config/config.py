"""The settings of a run: a section for each part of the way, and what concerns them all."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any

from ml_collections import ConfigDict

from vfseg.config.fit import unfit
from vfseg.crops.settings import AugmentSettings, PrepareSettings, SplitSettings, WindowSettings
from vfseg.errors import UserError
from vfseg.inference.settings import InferenceSettings
from vfseg.models.settings import (
    NETWORKS,
    DiscriminatorSettings,
    GeneratorSettings,
    PretrainedSettings,
)
from vfseg.settings import Rule, Settings, build, fields_of, one_of, read, whole
from vfseg.synthesis.settings import PaintedSettings, PhantomSettings, VirtualFractureSettings
from vfseg.training.settings import RUNNERS, LossSettings, StageSettings, TrainSettings

DTYPES = ("auto", "float32", "bfloat16")

_NOTHING_PAINTED = PaintedSettings()
_HU_WINDOWS = Rule(
    lambda windows: len(windows) > 0 and all(-1e5 < low < high < 1e5 for low, high in windows),
    "pairs (low, high) in HU, low below high, at least one",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """Everything that a run depends on; `configs/quickstart.py` shows all of it.

    Attributes:
        seed: of parameters, batches, splits and intervals.
        parallel: how the devices share a step, one of `RUNNERS`.
        compute_dtype: of the activations; "auto" is bfloat16 on accelerators, float32 on CPUs.
        manifest: CSV of the cases, or their folder; empty makes the cohort of `phantom`, or of
            `painted` where label maps are named.
        add_phantoms: train and validate on that cohort, too, beside the cases of the manifest.
        hu_windows: (low, high) in HU, one a channel.
        network: what answers where the fracture is, one of `NETWORKS`: the generator, or the
            baseline that judges whole slices.
        phantom: the synthetic cohort.
        virtual_fractures: what is made of the healthy CTs of the manifest.
        painted: the cohort that is painted from label maps; beside a manifest it trains only.
        prepare: how crops are cut.
        split: how the patients are divided that the manifest leaves open.
        windows: how windows of slices are drawn.
        augment: how strongly they are varied.
        generator: the network.
        discriminator: its adversary.
        pretrained: weights that the encoder begins with.
        losses: what the generator is trained on.
        stages: which part learns when.
        train: optimisers and rhythm.
        inference: how a CT is predicted.
    """

    seed: Annotated[int, whole(0)]
    parallel: Annotated[str, one_of(RUNNERS)]
    compute_dtype: Annotated[str, one_of(DTYPES)]
    manifest: str
    add_phantoms: bool
    hu_windows: Annotated[tuple[tuple[float, float], ...], _HU_WINDOWS]
    network: Annotated[str, one_of(NETWORKS)]
    phantom: PhantomSettings
    virtual_fractures: VirtualFractureSettings
    prepare: PrepareSettings
    split: SplitSettings
    windows: WindowSettings
    augment: AugmentSettings
    generator: GeneratorSettings
    discriminator: DiscriminatorSettings
    pretrained: PretrainedSettings
    losses: LossSettings
    stages: StageSettings
    train: TrainSettings
    inference: InferenceSettings
    painted: PaintedSettings = _NOTHING_PAINTED  # configs of before do not have it

    @property
    def synthetic(self) -> bool:
        """Whether the fractures of all cases are made, not found."""
        return not self.manifest or self.virtual_fractures.variants > 0

    @property
    def trained_on(self) -> str:
        """The fractures that a model of this config learns, as its outputs say."""
        if self.synthetic:
            return "synthetic"
        made_too = self.add_phantoms or bool(self.painted.label_maps)
        return "the user's and synthetic" if made_too else "the user's"

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON holds them: sections are dicts, tuples are lists."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def read_config(values: ConfigDict | Mapping[str, Any]) -> Config:
    """Reads a config strictly, and checks what must fit together.

    Settings that belong together are compared only where each of them is right by itself. What
    depends on the cases or on the machine is checked where these are known.

    Args:
        values: sections and settings, a `ConfigDict` or what `Config.to_dict` gave.

    Raises:
        UserError: one line for each setting that is misspelt, missing or wrong.
    """
    plain = values.to_dict() if isinstance(values, ConfigDict) else values
    found, problems = read(Config, plain)
    lines = [*problems.values(), *unfit(found, problems)]
    if lines:
        raise UserError("\n".join(lines))
    return build(Config, found)


def setting_names() -> list[str]:
    """Dotted keys of all settings and sections, in their order."""
    return [key for name, (kind, _) in fields_of(Config).items() for key in _names(name, kind)]


def _names(name: str, kind: Any) -> list[str]:
    section = isinstance(kind, type) and issubclass(kind, Settings)
    return [name, *(f"{name}.{inner}" for inner in (fields_of(kind) if section else ()))]
