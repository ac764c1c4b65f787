"""Mode `report`: the pictures of the predicted cases, and the page."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from vfseg import processes
from vfseg.commands.memory import check_config_of, read_summary
from vfseg.commands.workdir import Run
from vfseg.data.spine import read_spine
from vfseg.data.volume import read_ct, read_labels, read_probability
from vfseg.report.case import draw_case
from vfseg.report.page import write_page
from vfseg.report.results_table import results_text


def report(run: Run) -> None:
    """Draws the predicted cases and writes the page; prints the table of results."""
    summary, workdir = read_summary(run.workdir), run.workdir
    if not processes.is_first():
        return
    check_config_of(run.config, workdir)
    pictures = {}
    predicted = [c for c in run.standing_cases() if (workdir / "predictions" / c.case_id).is_dir()]
    for case in tqdm(predicted, "report", unit="case", disable=None):
        ct = read_ct(case.ct)
        vertebrae, labels, *_ = read_spine(case, ct.geometry, run.config.prepare)
        probability = read_probability(
            workdir / "predictions" / case.case_id / "probability.nii.gz"
        )
        pictures[case.case_id] = draw_case(
            ct,
            probability.array,
            truth=None if case.fractures is None else read_labels(case.fractures).array,
            labels=None if labels is None else labels.array,
            vertebrae=vertebrae,
            threshold=summary["threshold"]["value"],
            case_id=case.case_id,
            synthetic=summary["synthetic"],
            directory=workdir / "report" / case.case_id,
        )
    print_results(summary, write_page(workdir, pictures))


def print_results(summary: dict[str, Any], page: Path) -> None:
    """The table of results, and where the page is."""
    print(results_text(summary))
    print(f"report: {page}")
