"""Numbers of `docs/method.md` are those of the code, and every reference is cited and there."""

import re

import pytest

from tests.cohort import ROOT
from vfseg.config.derive import load
from vfseg.data.attribution import ATTRIBUTION_MARGIN_MM, FRACTURED_MM3, SHOWN_MARGIN_MM
from vfseg.data.grades import GENANT_LOSSES
from vfseg.data.instances import LESION_MM3
from vfseg.evaluation.genant import SPREAD
from vfseg.evaluation.heights import SITE_DEPTHS
from vfseg.evaluation.lesions import HIT_IOU
from vfseg.evaluation.map_evidence import EVIDENCE_ML
from vfseg.evaluation.statistics import MINIMUM_PATIENTS, RESAMPLES
from vfseg.evaluation.verdict import SENSITIVITY, SPECIFICITY
from vfseg.inference.settings import FUSIONS
from vfseg.models.attention_unet import Decoder
from vfseg.training.schedules import WARM_UP
from vfseg.training.settings import SUPERVISED

TEXT, REFERENCES = (ROOT / "docs" / "method.md").read_text().split("## References")
QUICKSTART = load(ROOT / "configs" / "quickstart.py")


def of_quickstart(key):
    section, name = key.split(".")
    return QUICKSTART[section][name]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (r"One crop of (\d+)³ voxels", of_quickstart("prepare.crop_shape")[:1]),
        (r"cubes of ([\d.]+) mm", [of_quickstart("prepare.voxel_spacing")]),
        (
            r"\((-?\d+) to (-?\d+) and (-?\d+) to (-?\d+) HU\)",
            [hu for window in QUICKSTART.hu_windows for hu in window],
        ),
        (r"T = (\d+) parallel slices", [of_quickstart("windows.length")]),
        (r"windows of k = (\d+) targets", [of_quickstart("windows.targets")]),
        (r"logit\(([\d.]+)\)", [Decoder.prior]),
        (
            r"L_G = ([\d.]+) L1\(p, y\) \+ ([\d.]+) Dice\(p, y\) \+ ([\d.]+) CE",
            [of_quickstart(f"losses.{name}") for name in ("l1", "dice", "cross_entropy")],
        ),
        (r"from 0 to ([\d.]+) over half", [of_quickstart("losses.adversarial")]),
        (r"accuracy is above ([\d.]+)", [of_quickstart("train.pause_above")]),
        (r"warms up over (\d+) %", [100 * WARM_UP]),
        (r"more than (\d+) mm away", [SHOWN_MARGIN_MM]),
        (r"highest ([\d.]+) mL", [EVIDENCE_ML]),
        (r"its mask and the (\d+) mm", [ATTRIBUTION_MARGIN_MM]),
        (r"at (\d+), (\d+) and (\d+) % of its depth", [100 * depth for depth in SITE_DEPTHS]),
        (r"1 from (\d+) %, 2 from (\d+) %, 3 from (\d+) %", [100 * x for x in GENANT_LOSSES]),
        (r"bodies scatter by ([\d.]+)", [SPREAD]),
        (r"specificity of ([\d.]+)", {SENSITIVITY, SPECIFICITY}),
        (r"at least (\d+) mm³", [LESION_MM3]),
        (r"is at least ([\d.]+) \[18\]", HIT_IOU[:1]),
        (r"fractured from (\d+) mm³", [FRACTURED_MM3]),
        (r"percentiles of ([\d,]+) bootstrap", [RESAMPLES]),
    ],
)
def test_numbers_are_those_of_the_code(words, values):
    (found,) = re.finditer(words, TEXT)
    assert [float(number.replace(",", "")) for number in found.groups()] == pytest.approx([*values])


def test_what_can_be_chosen_is_named():
    assert all(f"`{rule}`" in TEXT for rule in FUSIONS)
    # L1, Dice and CE stand in the formula.
    assert {*SUPERVISED} == {"l1", "dice", "cross_entropy", "focal", "focal_tversky"}
    assert "from five patients on" in TEXT
    assert MINIMUM_PATIENTS == 5
    assert of_quickstart("windows.positive_share") == 0.5
    assert "Half of the runs" in TEXT
    assert of_quickstart("stages.fine_tune") == 0
    coarsest = len(of_quickstart("generator.features")) - 1
    assert of_quickstart("generator.recurrent_scales") == (coarsest - 1, coarsest)


def test_references_are_numbered_and_all_are_cited():
    listed = [int(n) for n in re.findall(r"^(\d+)\. ", REFERENCES, re.M)]
    assert listed == list(range(1, len(listed) + 1))
    cited = {int(n) for group in re.findall(r"\[([\d, ]+)\]", TEXT) for n in group.split(",")}
    assert cited == {*listed}
