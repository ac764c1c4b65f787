"""Peers are judged as our models are."""

import json

import numpy as np

from benchmarks.studies.peers.crops import crops_of
from benchmarks.studies.peers.judge import judge
from tests.cohort import tiny_config
from vfseg.commands.workdir import Run
from vfseg.config.model import make_predictor
from vfseg.config.recipe import initial_state
from vfseg.crops.store import CaseArrays
from vfseg.evaluation.evaluate import Evaluator
from vfseg.evaluation.summary import judged, summarise


def test_a_peer_that_answers_as_our_network_gets_its_figures(prepared, tmp_path):
    config = tiny_config(**{"inference.planes": ("sagittal",), "inference.flips": False})
    run, params = Run(config, prepared), initial_state(config).g_params
    predictor = make_predictor(config)
    assert len(predictor.views) == 1

    ours = Evaluator(predictor, params, run.store, config.inference.fusion, config.prepare)
    cases, test = run.prepared.cases, run.records("test")
    thresholds = ours.choose_thresholds(cases, run.records("validation"))
    scores = ours.score(
        cases, ours.predict_slices(test, "test"), thresholds.slice, thresholds=thresholds
    )
    expected = summarise(judged(scores, thresholds), split="test", synthetic=True, seed=config.seed)

    summary = judge(run, lambda crop: predictor.slices(params, crop[None])[0, 0], tmp_path)
    assert summary.pop("data") == run.data_hash("validation", "test")
    assert json.dumps(summary, default=float) == json.dumps(expected, default=float)
    assert (tmp_path / "evaluation" / "states.npz").exists()


def test_crops_of_a_split_are_those_of_its_cases_in_order(prepared):
    run = Run(tiny_config(), prepared)
    crops = crops_of(run, "train")
    number = 0
    for record in run.records("train"):
        truth = CaseArrays(run.store, record).fractures.read().result()
        for crop, fractures in zip(record.crops, truth):
            assert crops.names[number] == f"{record.case_id}_{crop.level}"
            assert crops.fractures[number].sum() == np.count_nonzero(fractures)
            number += 1
    assert len(crops.names) == len(crops.ct) == number
