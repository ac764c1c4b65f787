import numpy as np
import pytest

from tests.evaluation.scene import SHAPE, THRESHOLDS, measured, sheet, spine
from vfseg.data.boxed_map import BoxedMap
from vfseg.evaluation.verdict import list_case


def test_a_user_s_ct_is_listed_as_an_evaluated_one():
    rng = np.random.default_rng(0)
    truth = sheet(6, 28)
    probability = np.clip(0.45 * rng.random(SHAPE) + 0.4 * (truth > 0), 0, 1).astype(np.float32)
    probability[[0, -1]] = probability[:, [0, -1]] = probability[:, :, [0, -1]] = 0
    probability = np.rint(probability * 65535).astype(np.float32) / np.float32(65535)
    box = (slice(1, 39), slice(1, 23), slice(1, 23))
    boxed, spread = (BoxedMap(SHAPE, box) for _ in range(2))
    boxed.fill(box, probability[box])
    spread.fill(box, np.full([38, 22, 22], 0.25, np.float32))
    read = spine()
    vertebrae, lesions = list_case(
        "case", read, read.labels.geometry, boxed, THRESHOLDS.fused, THRESHOLDS.vertebra, spread
    )
    wanted = measured(truth, probability)
    assert len(lesions) == len(wanted.lesion_rows) == 2
    for row, other in zip(lesions, wanted.lesion_rows):
        assert row["uncertainty"] == pytest.approx(0.25, abs=1e-5)
        assert row | {"uncertainty": None, "hit": True} == other
    for row, other in zip(vertebrae, wanted.vertebra_rows, strict=True):
        assert row.items() <= other.items()
