"""Real label maps, where there are some: painted where they lie, deformed vertebrae left out."""

import numpy as np
from nibabel.affines import apply_affine

from vfseg.data.schemes import SCHEMES
from vfseg.data.vertebra_labels import read_vertebra_labels
from vfseg.synthesis.painted import PaintedSettings, paint_case, read_source
from vfseg.synthesis.painted import case as module
from vfseg.synthesis.painted.label_maps import find_label_maps
from vfseg.synthesis.phantom.lookalikes import LookAlikes


def test_a_graded_spine_is_painted_where_it_lies_without_its_fractures(real_ct_root, monkeypatch):
    monkeypatch.setattr(module, "draw_lookalikes", lambda *_: LookAlikes())
    found = {m.name: m for m in find_label_maps(real_ct_root / "graded-masks")}
    graded = found["sub-verse004"]
    assert (graded.patient_id, graded.grades["L1"]) == ("sub-verse004", 3)
    source = read_source(read_vertebra_labels(graded.path), "verse", graded.grades, graded.name)
    assert {"T9", "T10", "L1"} <= source.left_out.keys()
    case = paint_case(source, 1, PaintedSettings(fracture_probability=0.0))
    painted, own = case.vertebrae, source.volume
    index = np.stack(np.meshgrid(*map(np.arange, painted.shape), indexing="ij"), -1)
    world = apply_affine(painted.affine, index)
    place = np.rint(apply_affine(np.linalg.inv(own.affine), world)).astype(int)
    held = ((place >= 0) & (place < own.shape)).all(-1)
    expected = np.zeros(painted.shape, np.uint8)
    expected[held] = own.array[tuple(place[held].T)]
    labels = {name: label for label, name in SCHEMES["verse"].items()}
    shown = 0
    for level, label in labels.items():
        ours, truth = painted.array == label, expected == label
        if level in source.left_out:
            assert not ours.any()
        elif truth.sum() * np.prod(painted.voxel_spacing) > 10_000:  # more than its edge in view
            shown += 1
            assert 2 * (ours & truth).sum() / (ours.sum() + truth.sum()) > 0.8
    assert shown
