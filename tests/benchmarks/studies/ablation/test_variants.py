"""The variants of the ablation: as many steps as asked for, in the proportions of their stages."""

import pytest

from benchmarks.studies.ablation.variants import VARIANTS, variant_config
from vfseg.training.stages import STAGES


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_takes_the_steps_it_is_given(name):
    for steps in (8, 600, 601):
        config = variant_config(name, steps)
        assert config.stages.total == steps


def test_stages_keep_their_shares():
    small = variant_config("full recipe", 300).stages
    large = variant_config("full recipe", 3000).stages
    for stage in STAGES:
        assert abs(10 * getattr(small, stage) - getattr(large, stage)) <= 10
