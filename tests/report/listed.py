"""Lists for the small spine of `scene`: a likely fracture, and a vertebra without a sign."""

from vfseg.evaluation.lists import LESION_COLUMNS, VERTEBRA_COLUMNS
from vfseg.report.case_lists import CaseLists
from vfseg.report.case_page import About

_HEIGHTS = {"height_anterior_mm": 17.25, "height_middle_mm": 15.5, "height_posterior_mm": 25.0}
_LOSSES = {"loss_anterior": 0.31, "loss_middle": 0.39, "loss_posterior": 0.02}
_GRADES = {"genant": 2, "genant_low": 2, "genant_high": 3}


def make_lists() -> CaseLists:
    blank = dict.fromkeys(VERTEBRA_COLUMNS) | {"case_id": "case-1", "flags": "", "specks_ml": 0.0}
    likely = {"verdict": "fracture likely", "probability": 0.9312, "why": "map and heights"}
    broken = blank | {"level": "L1", "map_ml": 1.728} | likely | _HEIGHTS | _LOSSES | _GRADES
    cut = {"flags": "cut", "heights_missing": "cut by the border of the CT"}
    healthy = blank | {"level": "L2", "map_ml": 0.003, "verdict": "no sign", "probability": 0.0123}
    lesion = dict.fromkeys(LESION_COLUMNS) | {
        **{"case_id": "case-1", "lesion": 1, "level": "L1", "volume_ml": 1.728},
        **{"max_probability": 0.9, "height": "middle", "depth": "posterior", "side": "central"},
        **{"x_mm": 35.0, "y_mm": 38.5, "z_mm": 54.75},
        **{"voxels_i": "10-25", "voxels_j": "30-47", "voxels_k": "36-37"},
    }
    return CaseLists([broken, healthy | cut], [lesion])


def make_about(name: str = "case-1", outside: str | None = None) -> About:
    return About(name, make_lists(), synthetic=True, outside=outside)
