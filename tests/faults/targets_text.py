"""Readers of tables and of JSON, to be tried."""

import json
import math
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.cohort import tiny_config
from tests.crops.test_store import make_arrays, make_record
from tests.faults.attempts import Target
from tests.report.summary import SUMMARY, measure
from vfseg.commands.memory import check_config_of, read_summary, remember
from vfseg.crops.store import CaseArrays, read_crops, read_record, write_case
from vfseg.data.boxes import vertebrae_from_boxes
from vfseg.data.cases import COLUMNS, Case, check_manifest
from vfseg.data.discovery import find_cases
from vfseg.data.geometry import geometry_from
from vfseg.data.grades import graded_subjects, read_grades
from vfseg.digests import damage
from vfseg.errors import UserError
from vfseg.evaluation.truth import known_patterns
from vfseg.inference.thresholds import Thresholds, load_thresholds, save_thresholds
from vfseg.report.results_table import results_text
from vfseg.training.writer import read_metrics


def boxes(folder: Path) -> Target:
    """Boxes of vertebrae, in each of their forms."""
    path, grid = folder / "cut_li1.txt", geometry_from((60, 60, 400), np.eye(4))
    seeds = [
        b"id,x0,x1,y0,y1,z0,z1\nL1,10,40,10,40,60,85\nL2,10,40,10,40,20,45\n",
        b"20,10,40,10,40,100,125\n21,10,40,10,40,65,90\n22,10,40,10,40,30,55\n",
        b"20,1,2,3,4,10,40,10,40,100,125,\n21,1,2,3,4,10,40,10,40,65,90,\n",
    ]
    return Target(path, lambda: vertebrae_from_boxes(path, grid), seeds)


def grades(folder: Path) -> Target:
    """Grades of vertebrae."""
    path = folder / "grades.csv"
    seeds = [
        b"vertebra,genant_grade\nL1,0\nT12,2\nL3,\n",
        b"subject,verse_label,vertebra,grade\na,20,L1,1\nb,21,L2,3\n",
        b'\xef\xbb\xbftotalsegmentator_label,Genant\n31,"1"\n',
    ]
    return Target(path, lambda: (graded_subjects(path), read_grades(path)), seeds)


def manifest(folder: Path) -> Target:
    """A manifest, and a folder that is searched by it."""
    path = folder / "manifest.csv"
    for name in ("a.nii", "b.nii"):
        nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), folder / name)
    head = ",".join(COLUMNS)
    seeds = [
        f"{head}\none,p1,a.nii,,,,,train\ntwo,p2,b.nii,b.nii,,a.nii,,\n".encode(),
        f'{head},note\n"one",p1,./a.nii,,,,,"test","x\ny"\n'.encode(),
    ]
    return Target(path, lambda: (check_manifest(path), find_cases(folder)), seeds)


def another_table(folder: Path) -> Target:
    """A table beside a CT, which may be one of boxes or of grades, or none."""
    path = folder / "table.csv"
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), folder / "a.nii")
    return Target(path, lambda: find_cases(folder), grades(folder).seeds + boxes(folder).seeds)


def thresholds_json(folder: Path) -> Target:
    """Thresholds beside a checkpoint."""
    path = folder / "thresholds.json"
    save_thresholds(
        folder, 7, Thresholds(slice=0.25, fused=0.75, vertebra=0.1, temperature=1.25), "mean"
    )

    def read() -> None:
        found = load_thresholds(folder, 7)
        assert all(0 <= value <= 1 for value in (found.slice, found.fused, found.vertebra))

    return Target(path, read, [path.read_bytes()])


def summary_json(folder: Path) -> Target:
    """The figures of an evaluation."""
    content = SUMMARY | {
        "lesion": {"average_precision": measure(0.4), "froc": [[0.0, 0.1], [2.0, 0.7]]},
        "calibration": {"temperature": {"value": 1.1}, "reliability": [[0.1, 0.05, 10]]},
        "by_level": {"L1": {"lesions": 3, "sensitivity": measure(0.5)}},
    }
    path = folder / "evaluation" / "summary.json"
    path.parent.mkdir(exist_ok=True)
    seeds = [json.dumps(content).encode()]
    return Target(path, lambda: results_text(read_summary(folder)).encode(), seeds)


def metrics_jsonl(folder: Path) -> Target:
    """The course of a training."""
    path = folder / "metrics.jsonl"
    lines = [{"step": step, "train/loss": 0.5, "train/bad": math.nan} for step in range(3)]
    seeds = ["".join(json.dumps(line) + "\n" for line in lines).encode()]
    return Target(path, lambda: read_metrics(path), seeds)


def workdir_config(folder: Path) -> Target:
    """The config that a workdir was begun with."""
    path, config = folder / "config.json", tiny_config()
    remember(config, folder, "hash")
    return Target(path, lambda: check_config_of(config, folder), [path.read_bytes()])


def facts_json(folder: Path) -> Target:
    """What a synthetic case is made of: never a reason to give up an evaluation."""
    path = folder / "facts.json"
    case = Case("a", "a", folder / "ct.nii.gz", fractures=folder / "fractures.nii.gz")
    drawn = {
        "vertebrae": [
            {"fracture": {"pattern": "burst", "across_slices": False}, "instances": [1, 2]},
            {"fracture": None, "instances": []},
        ],
        "fractures": [{"spec": {"pattern": "split", "across_slices": True}, "instances": [3]}],
    }
    return Target(path, lambda: known_patterns(case), [json.dumps(drawn).encode()])


def record_json(folder: Path) -> Target:
    """The record of a prepared case."""
    return _stored(folder, "record.json")


def digests_json(folder: Path) -> Target:
    """The digests of its files."""
    return _stored(folder, "digests.json")


def _stored(folder: Path, name: str) -> Target:
    write_case(folder, make_record(), make_arrays())
    path = folder / "a" / name

    def read() -> None:
        found = read_record(folder, "a")
        assert (found.record is None) == bool(found.damage) or found.record is None
        assert bool(damage(folder / "a")) or found.record is not None
        if found.damage:
            raise UserError(f"{path}: {found.damage}")

    return Target(path, read, [path.read_bytes()])


def zarr_json(folder: Path) -> Target:
    """What describes the crops of a prepared case, changed after its digests were compared."""
    record = make_record()
    write_case(folder, record, make_arrays())
    path = folder / "a" / "ct" / "zarr.json"
    return Target(path, lambda: read_crops(CaseArrays(folder, record).ct), [path.read_bytes()])
