"""The cost of a step: measured once, and again if a config has changed."""

import json

import pytest

from benchmarks.studies.ablation import costs
from benchmarks.studies.ablation.variants import VARIANTS, variant_config


def test_costs_are_measured_anew_where_a_config_has_changed(tmp_path, monkeypatch):
    configs = {name: variant_config(name, 8).to_dict() for name in VARIANTS}
    kept = {"configs": configs, "costs": {"light": {"ms_per_step": 1.0}}}
    (tmp_path / "costs.json").write_text(json.dumps(kept))
    assert costs.measured_costs(tmp_path / "costs.json", 8) == kept["costs"]
    configs["light"]["losses"]["l1"] += 1
    (tmp_path / "costs.json").write_text(json.dumps(kept))
    monkeypatch.setattr(costs, "Stepper", refuse)
    with pytest.raises(RuntimeError, match="measured"):
        costs.measured_costs(tmp_path / "costs.json", 8)


def refuse(*arguments, **keywords):
    raise RuntimeError("measured")
