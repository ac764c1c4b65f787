"""Mode `report` from files alone: no model, no store."""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cohort import tiny_config
from tests.data.nifti_files import write_probability
from tests.report.listed import make_lists
from tests.report.scene import make_scene
from vfseg.commands.report import report
from vfseg.commands.workdir import Run
from vfseg.data.cases import COLUMNS
from vfseg.data.volume import write_ct, write_labels
from vfseg.digests import write_digests
from vfseg.errors import UserError
from vfseg.files import write_table


@pytest.fixture
def run(tmp_path):
    """An evaluated run of one case, whose binary mask holds two sheets."""
    scene = make_scene()
    geometry = scene.ct.geometry
    mask = (scene.reference.instances > 0).astype(np.uint8)
    mask[12, 30:40, 10:20] = 1
    hu = scene.ct.array.copy()
    hu[0, 0] = -1000  # air: else they would be no Hounsfield units
    write_ct(tmp_path / "ct.nii.gz", hu, geometry)
    write_labels(tmp_path / "vertebrae.nii.gz", scene.spine.labels.array, geometry)
    write_labels(tmp_path / "fractures.nii.gz", mask, geometry)
    with open(tmp_path / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        files = ("ct.nii.gz", "vertebrae.nii.gz", "", "fractures.nii.gz", "")
        writer.writerow(["case-1", "p", *files, "test"])
    workdir = tmp_path / "run"
    map_path = workdir / "predictions" / "case-1" / "probability.nii.gz"
    write_probability(map_path, scene.probability, geometry)
    (workdir / "evaluation").mkdir()
    summary = {"synthetic": False, "threshold": {"value": 0.41, "chosen_on": "validation"}}
    (workdir / "evaluation" / "summary.json").write_text(json.dumps(summary))
    config = tiny_config(manifest=str(tmp_path / "manifest.csv"), add_phantoms=False)
    return Run(config, workdir)


def test_parts_of_a_binary_mask_are_lesions_as_in_the_evaluation(run):
    report(run)
    page = (run.workdir / "report" / "index.html").read_text()
    assert "Axial, k = 36, L1: reference lesion of 1.73 mL" in page  # 2 x 18 x 16 voxels of 3 mm3
    assert re.search(r"Axial, k = \d+, L2: reference lesion of 0\.30 mL", page)  # 10 x 10 voxels


@pytest.mark.parametrize(
    "name", ["evaluation/summary.json", "predictions/case-1/probability.nii.gz"]
)
def test_no_page_is_made_of_what_is_not_as_it_was_written(run, name):
    path = run.workdir / name
    write_digests(path.parent)
    path.write_bytes(path.read_bytes().replace(b"0.41", b"0.14") + b" ")
    with pytest.raises(
        UserError, match=rf"{path.parent}: damaged \({path.name} .* --mode evaluate"
    ):
        report(run)
    assert not (run.workdir / "report").exists()


def test_the_same_run_gives_the_same_bits(run):
    """Pages, pictures, curves and meshes: no dates, no names drawn by chance."""
    lines = [{"step": step, "train/loss": 1 / step} for step in (1, 2, 3)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run.workdir / "metrics.jsonl").write_text(text)
    summary = run.workdir / "evaluation" / "summary.json"
    froc = {"lesion": {"froc": [[0, 0.1], [1, 0.5]]}}
    summary.write_text(json.dumps(json.loads(summary.read_text()) | froc))

    def written():
        report(run)
        files = sorted(path for path in (run.workdir / "report").rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in files}

    first = written()
    pages = {"index.html", "page.html"}
    assert {*pages, "curve-00.svg", "froc.svg", "spine.png", "spine.glb"} <= set(first)
    second = written()
    assert [name for name in first if first[name] != second[name]] == []
    assert list(first) == list(second)


def test_every_case_has_a_page_of_its_lists_which_the_index_links(run):
    lists = make_lists()
    rows = [row | {"fractured": row["level"] == "L1"} for row in lists.vertebrae]
    write_table(run.workdir / "evaluation" / "vertebrae.csv", rows)
    write_table(run.workdir / "evaluation" / "lesions.csv", lists.lesions)
    report(run)
    page = (run.workdir / "report" / "case-1" / "page.html").read_text()
    shown = " ".join(re.sub(r"</?(?:b|span|button)\b[^>]*>", "", page).split())
    assert "L1: fracture likely (0.93). Height loss 39 % (middle), Genant 2, range 2-3" in shown
    assert page.count("骨折あり") == 1
    assert 'href="case-1/page.html"' in (run.workdir / "report" / "index.html").read_text()


def test_of_a_fold_without_test_cases_there_is_nothing_to_draw(tmp_path, capsys):
    config = tiny_config(**{"split.folds": 3, "split.test": 0.0})
    nobody = SimpleNamespace(records={"test": ()})
    report(SimpleNamespace(config=config, prepared=nobody, workdir=tmp_path))
    assert "no test cases, nothing to draw" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
