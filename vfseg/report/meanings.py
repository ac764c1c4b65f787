"""What the figures of an evaluation say, for readers of its page."""

from collections.abc import Iterable

from vfseg.report.wording import name_of

_MEANINGS = {
    "dice": "2 TP / (2 TP + FP + FN) at the threshold, of all cases together",
    "iou": "TP / (TP + FP + FN) at the threshold",
    "precision": "share of what is predicted that is fractured",
    "recall": "share of what is fractured that is predicted",
    "pr_auc": "area under precision over recall; chance reaches the prevalence",
    "detection_roc_auc": "whether a slice with a fracture in it ranks above one without",
    "dice_positives": "Dice within each fractured vertebra, their mean",
    "dice_all": "the same of all vertebrae; one without a fracture counts 1 where nothing is "
    "predicted in it, else 0",
    "false_positive_ml_healthy": "volume predicted in a vertebra without a fracture, mean",
    "hd95_mm": "95th percentile of the distances between the surfaces of prediction and truth",
    "surface_dice_2mm": "share of both surfaces that lies within 2 mm of the other",
    "average_precision": "area under precision over recall of the list of lesions",
    "sensitivity_at_1_fp": "share of lesions found where the list has one false positive a case",
    "sensitivity": "share of the fractured that is found, at the threshold",
    "false_positives_per_case": "predicted lesions that hit none, a case",
    "average_precision_iou_0.2": "average precision where a hit must overlap more",
    "sensitivity_at_1_fp_iou_0.2": "sensitivity at one false positive a case, where a hit must "
    "overlap more",
    "roc_auc": "probability that one with a fracture ranks above one without; chance reaches 0.5",
    "specificity": "share of those without a fracture that is left in peace, at the threshold",
    "roc_auc_heights": "ROC-AUC of the verdict where it knows nothing but heights",
    "sensitivity_review": "share of the fractured that is called likely, or is for review",
    "specificity_review": "share of those without a fracture that has no sign",
    "ece": "mean distance between the map's probability and the fraction that is fractured",
    "ece_suspected": "the same distance, over voxels of some probability alone",
    "ece_scaled": "distance of the map scaled by the temperature that fits validation",
    "ece_suspected_scaled": "the same, over voxels of some probability alone",
    "lesions": "lesions of the truth",
    "vertebrae": "vertebrae of the group",
    "lesion_sensitivity": "share of the lesions that is found",
    "voxel_recall": "share of the lesions' volume that is predicted",
    "prevalence": "fraction of the voxels (or vertebrae, or cases) that is fractured",
    "patient_id": "patient, as the data set names him or her",
    "lesions_found": "lesions of the truth that a predicted one hits",
    "false_positives": "predicted lesions that hit none",
    "fractured_vertebrae": "vertebrae with a fracture",
    "highest_vertebra_score": "score of the most suspected vertebra: the mean of the highest "
    "values of the map in it",
    "truth_ml": "volume of the truth inside the crops",
    "predicted_ml": "volume predicted inside the crops",
    "synthetic": "whether a program made the fractures",
    "outside_training": "what of the CT lies outside the range of training",
}


def meanings_of(keys: Iterable[str]) -> list[tuple[str, str]]:
    """Name and meaning of each measure or column that has one, each once.

    Args:
        keys: in the summary, or of `cases.csv`.
    """
    return [(name_of(key), _MEANINGS[key]) for key in dict.fromkeys(keys) if key in _MEANINGS]
