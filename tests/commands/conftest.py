"""Vertebrae that are found and outlined where a test says, and predictions with them."""

import numpy as np
import pytest

from tests.commands.test_predict import save_model, write_case
from vfseg.commands.predict import predict
from vfseg.commands.request import FIND, Request
from vfseg.data.box import whole
from vfseg.data.schemes import SPINE_IDS
from vfseg.data.volume import read_geometry
from vfseg.localisation import find as finding
from vfseg.localisation import weights
from vfseg.localisation.find import Found, FoundVertebra
from vfseg.segmentation import outlines
from vfseg.segmentation import weights as outline_weights


@pytest.fixture
def ct(tmp_path):
    return write_case(tmp_path)[0]


@pytest.fixture
def found(monkeypatch, ct):
    """Has vertebrae of these names be found in the CT, one above the other."""

    def give(*names, sacrum=False, probability=1.0, others=None):
        geometry = read_geometry(ct)
        first = geometry.affine @ [geometry.shape[0] - 1, 5, 5, 1]
        places = [(*first[:2], first[2] - 9.0 * k) for k in range(len(names))]
        vertebrae = tuple(
            FoundVertebra(n, tuple(map(float, p)), 0.9) for n, p in zip(names, places)
        )
        result = Found(vertebrae, sacrum, probability, others or {})
        asked = []
        monkeypatch.setattr(weights, "read_weights", lambda: None)
        monkeypatch.setattr(
            finding, "find_vertebrae", lambda *args: asked.append(args[2:]) or result
        )
        return asked

    return give


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def outlined(monkeypatch):
    """Has blocks be outlined, one below the other, for all levels but some."""

    def give(but=()):
        def blocks(ct, points, params):
            labels = np.zeros(ct.shape, np.uint16)
            for number, label in enumerate(points):
                if SPINE_IDS["verse"][label] not in but:
                    labels[34 - 22 * number : 48 - 22 * number, 8:28, 8:32] = label
            return labels, whole(ct.shape)

        monkeypatch.setattr(outlines, "label_vertebrae", blocks)
        monkeypatch.setattr(outline_weights, "read_weights", lambda: None)

    return give


@pytest.fixture
def predicted(ct, checkpoints, monkeypatch, outlined):
    """Predicts the CT with found vertebrae; no pictures of the results."""
    outlined()
    monkeypatch.setattr("vfseg.report.case.draw_case", lambda *_: None)

    def run(output, **changes):
        asked = {"input": ct, "output": output, "model": checkpoints, "vertebrae": FIND} | changes
        predict(Request(**asked))

    return run
