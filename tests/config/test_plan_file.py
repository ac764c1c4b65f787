"""The file of a plan: read back, it is the config that was planned, whatever the texts in it."""

from pathlib import Path

import pytest

from tests.config.planning import COHORT, CPU, RECIPE, recipe
from vfseg.config.config import read_config
from vfseg.config.derive import changed, load
from vfseg.config.plan_file import plan_text
from vfseg.config.rules import plan

GIVEN = {
    "manifest": "a 'b' \"c\" \\ " + "日本.csv",
    "hu_windows": ((0.0, 1900.0),),
    "inference.planes": ("axial",),
    "seed": 3,
}


@pytest.mark.parametrize(("own", "variant"), [(False, ""), (False, "light"), (True, "")])
def test_the_file_is_the_planned_config(tmp_path, own, variant):
    base = RECIPE
    if own:
        base = tmp_path / "it's mine.py"
        base.write_text(f"from vfseg.config.derive import load\nfrom pathlib import Path\n"
                        f"def get_config():\n    return load(Path({str(RECIPE)!r}))\n")  # fmt: skip
    before = changed(load(base, variant), GIVEN)
    rulings = plan(COHORT, CPU, before, GIVEN)
    path = tmp_path / "planned.py"
    path.write_text(plan_text(base, variant, GIVEN, rulings, COHORT.lines()))
    expected = changed(before, *(ruling.values for ruling in rulings))
    assert read_config(load(path)) == read_config(expected)


def test_it_is_short_and_says_from_what():
    rulings = plan(COHORT, CPU, recipe(), ())
    text = plan_text(RECIPE, "", {}, rulings, [*COHORT.lines(), f"planned for {CPU.words}"])
    lines = text.splitlines()
    assert len(lines) < 70
    assert max(map(len, lines)) <= 100
    assert "44 cases of 44 patients; 336 of 616 vertebrae to train on, T4 to L5" in text
    assert "231 lesions, 131 to train on, of 0.95 mL and 1.6 mm thickness (medians)" in text
    assert "planned for 1 x cpu, 16 GB each" in text
    assert 'PACKAGED_CONFIGS / "vertebral_fracture.py"' in text
    assert str(Path.cwd()) not in text
