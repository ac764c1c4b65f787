"""Mode `report`: the pictures of the predicted cases, and the page."""

from pathlib import Path
from typing import Any

from tqdm import tqdm

from vfseg import processes
from vfseg.commands.evaluate import nobody_is_tested
from vfseg.commands.memory import check_config_of, read_summary
from vfseg.commands.workdir import Run
from vfseg.crops.training_range import outside_training
from vfseg.data.hounsfield import read_hounsfield
from vfseg.data.instances import instances_are_marked, separated
from vfseg.data.spine import read_spine
from vfseg.data.volume import read_probability
from vfseg.digests import write_digests
from vfseg.drawing.figures import Picture
from vfseg.evaluation.truth import read_truth
from vfseg.inference.case import UNCERTAINTY
from vfseg.report.case import draw_case
from vfseg.report.case_lists import CaseLists, read_lists
from vfseg.report.case_page import About
from vfseg.report.page import write_page
from vfseg.report.results_table import results_text
from vfseg.report.scene import Reference, Scene
from vfseg.stopping import STOP


def report(run: Run) -> None:
    """Draws the predicted cases and writes the page; prints the table of results."""
    if nobody_is_tested(run):
        print(
            f"{run.workdir}: no test cases, nothing to draw; the figures of a cross-validation "
            "stand in evaluation/ of its workdir"
        )
        return
    summary, workdir = read_summary(run.workdir), run.workdir
    if not processes.is_first():
        return
    check_config_of(run.config, workdir)
    pictures: dict[str, list[Picture]] = {}
    lists = read_lists(workdir / "evaluation")
    cases = run.standing_cases()
    marked = instances_are_marked(cases)
    predicted = [case for case in cases if (workdir / "predictions" / case.case_id).is_dir()]
    for case in tqdm(predicted, "report", unit="case", disable=None):
        STOP.after_case(
            f"{len(pictures)} of {len(predicted)} cases are drawn, and the page is as it was; the "
            "same command begins it anew."
        )
        ct, reference = read_hounsfield(case.ct), None
        if case.fractures is not None:
            instances = separated(read_truth(case, ct), marked)
            reference = Reference(instances, synthetic=summary["synthetic"])
        spine = read_spine(case, ct.geometry, run.config.prepare)
        path = workdir / "predictions" / case.case_id / "probability.nii.gz"
        probability, threshold = read_probability(path).array, summary["threshold"]["value"]
        spread = path.with_name(UNCERTAINTY)
        uncertainty = read_probability(spread).array if spread.exists() else None
        scene = Scene(case.case_id, ct, spine, probability, threshold, reference, uncertainty)
        known = lists.get(case.case_id, CaseLists())
        outside = outside_training(ct.geometry, run.config.prepare.voxel_spacing)
        about = About(case.case_id, known, summary["synthetic"], outside)
        pictures[case.case_id] = draw_case(scene, about, workdir / "report" / case.case_id)
    page = write_page(workdir, pictures)
    write_digests(workdir / "report")
    print_results(summary, page)


def print_results(summary: dict[str, Any], page: Path) -> None:
    """The table of results, and where the page is."""
    print(results_text(summary))
    print(f"report: {page}")
