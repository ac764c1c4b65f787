"""A summary as an evaluation writes it: voxels with intervals, too few patients for slices."""


def measure(value, low=None, high=None, n=8):
    return {"value": value, "ci95": None if low is None else [low, high], "n": n}


SUMMARY = {
    "split": "test",
    "cases": 8,
    "synthetic": True,
    "threshold": {"value": 0.41, "chosen_on": "validation"},
    "slice": {"dice": measure(0.5), "pr_auc": measure(None), "prevalence": 0.0},
    "voxel": {
        "dice": measure(0.58, 0.52, 0.63),
        "pr_auc": measure(0.46, 0.4, 0.5),
        "prevalence": 0.0023,
        "prevalence_whole_ct": 0.0001,
        "pr_auc_hu_threshold": 0.0412,
    },
    "lesion": None,
    "vertebra": None,
}
