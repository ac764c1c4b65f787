"""The table of GPU figures."""

import json

from benchmarks.gpu.table import main, markdown

WHERE = {
    "device": "1 x CARD",
    "python": "3.12",
    "jax": "0.11",
    "torch": "2.11",
    "date": "2030-01-02T",
    "commit": "abc",
}


def row(name, seconds, rate, **remarks):
    return {"name": name, "seconds": seconds, "rate": rate, "remarks": remarks}


def result():
    table = {
        "title": "A step",
        "unit": "windows/s",
        "rows": [
            row("PyTorch", [0.02, 0.03, 0.04], 500.0, share=0.25),
            row("vfseg", [0.01, 0.015, 0.02], 1000.0, share=0.5),
        ],
    }
    limits = {"title": "Product of two", "unit": "GFLOP/s", "rows": []}
    score = {"value": 0.5, "ci95": [0.25, 0.75]}
    names = ("voxel dice", "voxel pr_auc", "vertebra roc_auc", "lesion average_precision")
    job = dict.fromkeys(names, score) | {
        "seconds": 90.0,
        "slices per second of training, median": 10.0,
    }
    return {
        "tests": {"status": 0, "last_line": "== 5 passed in 1s =="},
        "training": {"status": 0, "environment": WHERE, "tables": [limits, table]},
        "quickstart": {"status": 0, "environment": WHERE, "found": job},
        "fusion": {"status": 1, "tables": [table]},
    }


def test_what_was_measured_has_a_line_and_what_failed_has_none():
    lines = markdown([result()]).splitlines()
    assert lines[2:6] == [
        "| Tests that a GPU can break | 5 passed in 1s |  |",
        "| A step | 1000 windows/s (15 ms, 10–20), 50.0 % of the matrix rate | PyTorch: 500 "
        "windows/s (30 ms, 20–40), 25.0 % of the matrix rate |",
        "| `configs/quickstart.py`, the whole job (synthetic truth) | 90 s; voxel dice 0.500 "
        "[0.250, 0.750], voxel pr auc 0.500 [0.250, 0.750], vertebra roc auc 0.500 "
        "[0.250, 0.750], lesion average precision 0.500 [0.250, 0.750] | 10 slices/s "
        "while training |",
        "",
    ]
    assert lines[6] == "1 x CARD, python 3.12, jax 0.11, torch 2.11, 2030-01-02, commit abc"


def test_it_is_written_between_the_markers(tmp_path):
    (tmp_path / "card.json").write_text(json.dumps(result()))
    file = tmp_path / "gpu.md"
    file.write_text("before\n<!-- speed -->\nold\n<!-- /speed -->\nafter\n")
    main(["--results", str(tmp_path), "--write", str(file)])
    assert file.read_text() == (
        f"before\n<!-- speed -->\n{markdown([result()])}\n<!-- /speed -->\nafter\n"
    )
