import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from vfseg.drawing.figures import Picture
from vfseg.errors import UserError
from vfseg.report.curves import training_curves
from vfseg.report.page import write_page
from vfseg.report.results_table import group_tables, results_table, results_text

VOID = {"meta", "img", "br", "link"}
NASTY = "a<b>&\"c' #1"


class Page(HTMLParser):
    """Links, texts and table rows of a page; refuses tags that do not nest."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.tags, self.rows, self.texts = [], [], [], [], []
        self._open = []
        self.feed(path if isinstance(path, str) else Path(path).read_text())
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.links += [attributes[key] for key in ("href", "src") if key in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "style":
            return
        self.texts.append(data)
        if self._open and self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


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


def fill(workdir, summary=SUMMARY, cases=("case-1", NASTY)):
    """A workdir as an evaluation leaves it, and its pictures."""
    pictures = {}
    for case in cases:
        for path in (
            workdir / "predictions" / case / "mask.nii.gz",
            workdir / "report" / case / "a.png",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        pictures[case] = [Picture(workdir / "report" / case / "a.png", f"Caption of {case}")]
    (workdir / "evaluation").mkdir(parents=True)
    (workdir / "evaluation" / "summary.json").write_text(json.dumps(summary))
    with open(workdir / "evaluation" / "cases.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "patient_id", "dice", "truth_ml"])
        for case in cases:
            writer.writerow([case, "p<1>", "0.61234", ""])
    lines = [{"step": s, "train/loss": 1 / s, "validation/loss": 2 / s} for s in (10, 20)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (workdir / "metrics.jsonl").write_text(text + '{"step": 3')
    return pictures


def test_every_link_leads_somewhere_inside_the_workdir(tmp_path):
    workdir = tmp_path / "runs" / "quick start"
    page_path = write_page(workdir, fill(workdir))
    assert page_path == workdir / "report" / "index.html"
    page = Page(page_path)
    assert any("mask.nii.gz" in link for link in page.links)
    for link in page.links:
        assert "//" not in link
        assert not link.startswith(("/", "data:", "javascript:"))
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            target = (page_path.parent / unquote(link)).resolve()
            assert target.exists(), link
            assert workdir.resolve() in target.parents
    assert "script" not in page.tags
    assert page.tags.count("img") == 2 + 1  # a picture a case, one curve: loss


def test_first_come_the_note_and_where_the_truth_is_from(tmp_path):
    text = Page(write_page(tmp_path / "a", fill(tmp_path / "a"))).text
    assert text.index("Research use only") < text.index("The truth is synthetic")
    assert text.index("The truth is synthetic") < text.index("Results")
    real = {**SUMMARY, "synthetic": False}
    text = Page(write_page(tmp_path / "b", fill(tmp_path / "b", real))).text
    assert "Research use only" in text
    assert "synthetic" not in text


def test_every_pr_auc_stands_beside_prevalence_lift_and_floor():
    rows = Page(results_table(SUMMARY)).rows
    at = rows.index(["PR-AUC", "0.460", "0.400\xa0–\xa00.500", "8"])
    (beside,) = rows[at + 1]
    assert "200 × prevalence" in beside  # 0.46 / 0.0023
    assert "prevalence 0.0023" in beside
    assert "prevalence in the whole CT 0.0001" in beside
    assert "best of 50 HU thresholds 0.0412" in beside
    assert ["Dice", "0.580", "0.520\xa0–\xa00.630", "8"] in rows


def test_what_is_not_known_is_not_invented():
    rows = Page(results_table(SUMMARY)).rows
    at = rows.index(["PR-AUC", "–", "–", "8"])
    assert rows[at + 1] == ["prevalence 0"]
    assert ["Dice", "0.500", "none (too few patients)", "8"] in rows
    titles = [row[0].split(":")[0] for row in rows]
    for level in ("Lesion", "Vertebra", "Case"):
        assert rows[titles.index(level) + 1] == ["not measured"]


def test_the_terminal_says_the_same():
    lines = results_text(SUMMARY).splitlines()
    assert ["voxel", "Dice", "0.580", "0.520", "–", "0.630", "8"] in [
        line.split() for line in lines
    ]
    at = next(i for i, line in enumerate(lines) if line.startswith("voxel PR-AUC"))
    assert "200 × prevalence; prevalence 0.0023" in lines[at + 1]
    assert "best of 50 HU thresholds 0.0412" in lines[at + 1]
    assert "lesion: not measured" in lines
    assert "synthetic" in lines[-1]
    assert "synthetic" not in results_text({**SUMMARY, "synthetic": False})


def test_what_users_name_is_escaped(tmp_path):
    page_path = write_page(tmp_path, fill(tmp_path))
    page = Page(page_path)
    assert NASTY in page.texts
    assert f"Caption of {NASTY}" in page.texts
    assert "p<1>" in page.texts
    assert "b" not in page.tags[page.tags.index("section") :]
    assert "0.612" in page.texts
    assert "0.61234" not in page.texts


def test_page_of_predictions_alone(tmp_path):
    folder = tmp_path / "report" / "case-1"
    folder.mkdir(parents=True)
    (folder / "a.png").touch()
    page = Page(write_page(tmp_path, {"case-1": [Picture(folder / "a.png", "The place.")]}))
    assert "There is no reference" in page.text
    assert "Not evaluated" in page.text
    assert "The place." in page.texts
    assert "Training" not in page.texts


def test_a_broken_summary_is_named(tmp_path):
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "summary.json").write_text("{")
    with pytest.raises(UserError, match=r"summary\.json.*--mode evaluate"):
        write_page(tmp_path, {})
    assert not (tmp_path / "report").exists()


def test_curves_share_a_picture_by_quantity_and_validation_comes_first(tmp_path):
    lines = [
        {"step": 1, "train/speed": 3.0, "train/loss": 1.0, "plain": 2.0},
        {"step": 2, "train/loss": float("nan"), "validation/loss": 0.5},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    curves = training_curves(tmp_path / "metrics.jsonl", tmp_path / "curves")
    assert [c.caption for c in curves] == [
        "Loss (train, validation)",
        "Speed (train)",
        "Plain (run)",
    ]
    assert all("<svg" in c.path.read_text() for c in curves)
    assert training_curves(tmp_path / "none.jsonl", tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_tables_by_group_show_every_figure_and_escape_their_names():
    groups = {
        "T12": {"lesions": 3, "lesion_sensitivity": measure(0.5, 0.25, 0.75)},
        "a<b>": {"lesions": 1, "specificity": measure(None)},
    }
    page = Page(group_tables({"by_level": groups, "by_grade": {}}))
    assert page.rows == [
        ["", "Lesions", "Sensitivity, lesions", "Specificity"],
        ["T12", "3", "0.500 (0.250\xa0–\xa00.750)", ""],
        ["a<b>", "1", "", "–"],
    ]
    assert "By level" in page.texts
    assert "By grade" not in page.text
    assert group_tables(SUMMARY) == ""


def test_the_page_holds_curves_tables_and_lists_of_the_evaluation(tmp_path):
    summary = {
        **SUMMARY,
        "lesion": {"froc": [[0, 0], [1, 0.5]], "sensitivity": measure(0.5)},
        "by_size": {"Q1": {"lesions": 2}},
    }
    pictures = fill(tmp_path, summary)
    (tmp_path / "evaluation" / "lesions.csv").touch()
    page = Page(write_page(tmp_path, pictures))
    assert "curves/froc.svg" in page.links
    assert "../evaluation/lesions.csv" in page.links
    assert "../evaluation/cases.csv" in page.links
    assert "../evaluation/vertebrae.csv" not in page.links
    assert ["Q1", "2"] in page.rows
