"""The floors of a cohort: a table, and whether it is the committed cohort."""

import json

from benchmarks.configs import QUICKSTART
from benchmarks.studies import floors
from vfseg.synthesis.phantom import cohort_hash


def test_the_command_prints_a_table_and_tells_another_cohort(tmp_path, capsys):
    base = QUICKSTART
    text = (
        "import runpy\nMASKS_SHA256 = {hash!r}\n"
        "def get_config():\n"
        "    config = runpy.run_path({base!r})['get_config']('tiny')\n"
        "    config.phantom.voxel_spacing = 2.0\n"
        "    return config\n"
    )
    config = tmp_path / "small.py"
    config.write_text(text.format(hash="0" * 64, base=str(base)))
    flags = ["--config", str(config), "--workdir", str(tmp_path / "run")]
    assert floors.main(flags) == 1
    assert "NOT the committed cohort" in capsys.readouterr().out
    found = cohort_hash(tmp_path / "run" / "cohort")
    config.write_text(text.format(hash=found, base=str(base)))
    assert floors.main([*flags, "--json", str(tmp_path / "floors.json")]) == 0
    out = capsys.readouterr().out
    assert "the committed cohort" in out
    assert "pr_auc_vertebra_oracle" in out
    written = json.loads((tmp_path / "floors.json").read_text())
    assert written["masks"] == found
    assert written["floors"]["all"]["cases"] == 1
    assert written["floors"]["all"]["prevalence"] > 0
