import numpy as np

from tests.evaluation.scene import SHAPE, SPINE, THRESHOLDS, measured, sheet
from vfseg.data.probability import code_score, score_bin
from vfseg.data.volume import Volume
from vfseg.evaluation.findings import list_findings
from vfseg.inference.boxed_map import BoxedMap
from vfseg.inference.case import Prediction


def test_a_user_s_ct_is_listed_as_an_evaluated_one():
    rng = np.random.default_rng(0)
    truth = sheet(6, 28)
    probability = np.clip(0.45 * rng.random(SHAPE) + 0.4 * (truth > 0), 0, 1).astype(np.float32)
    probability[[0, -1]] = probability[:, [0, -1]] = probability[:, :, [0, -1]] = 0
    probability = code_score(score_bin(probability))
    box = (slice(1, 39), slice(1, 23), slice(1, 23))
    boxed = BoxedMap(SHAPE, box)
    boxed.fill(box, probability[box])
    ct = Volume(np.zeros(SHAPE, np.int16), SPINE.labels.geometry)
    found = Prediction(ct, SPINE, boxed, None, 0.0, 1)
    listed = list_findings("case", found, THRESHOLDS.fused, THRESHOLDS.vertebra)
    wanted = measured(truth, probability)
    assert len(listed.lesions) == len(wanted.lesion_rows) == 2
    for row, other in zip(listed.lesions, wanted.lesion_rows):
        assert row | {"hit": True} == other
    for row, other in zip(listed.vertebrae, wanted.vertebra_rows, strict=True):
        assert row.items() <= other.items()
