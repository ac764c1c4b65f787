"""The plan of the ablation: equal targets, then equal time."""

from benchmarks.studies.ablation.plan import planned, steps_of_equal_time
from benchmarks.studies.ablation.variants import VARIANTS


def test_equal_time_follows_the_cost_of_a_step():
    costs = {"full recipe": {"ms_per_step": 300.0}, "light": {"ms_per_step": 100.0}}
    costs["+ GAN"] = {"ms_per_step": 320.0}
    assert steps_of_equal_time("light", 200, costs) == 600
    assert steps_of_equal_time("+ GAN", 200, costs) == 200, "within a fifth: the same run"


def test_equal_targets_come_first_for_every_seed():
    costs = {name: {"ms_per_step": 100.0} for name in VARIANTS}
    costs["light"] = {"ms_per_step": 50.0}
    names = ["light", "full recipe"]
    plan = [tuple(run) for run in planned(names, 10, 2, costs)]
    assert plan == [
        ("light", "targets", 10, 0),
        ("full recipe", "targets", 10, 0),
        ("light", "targets", 10, 1),
        ("full recipe", "targets", 10, 1),
        ("light", "time", 20, 0),
        ("light", "time", 20, 1),
    ]
