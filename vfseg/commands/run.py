"""Mode `run`: prepare, train, evaluate, report; what stands and is of the same data is kept."""

from vfseg import processes
from vfseg.commands.evaluate import evaluate, is_evaluated, nobody_is_tested
from vfseg.commands.memory import read_summary
from vfseg.commands.train import train
from vfseg.commands.workdir import Run
from vfseg.digests import noticed


def run_all(run: Run) -> None:
    """Does what is left of a run.

    With several processes, as `train`; the first one reports.
    """
    left_out = run.prepared.left_out
    train(run)
    summary = run.workdir / "evaluation" / "summary.json"
    if not is_evaluated(run):
        evaluate(run)
    if not processes.is_first() or nobody_is_tested(run):
        return
    # What draws takes a second, which a training that is stopped need not wait.
    from vfseg.commands.report import print_results, report

    page = run.workdir / "report" / "index.html"
    newer = page.exists() and page.stat().st_mtime > summary.stat().st_mtime
    if newer and not noticed(page.parent):
        print_results(read_summary(run.workdir), page)
    else:
        report(run)
    if left_out:
        print("\n  ".join([f"left out ({len(left_out)}):", *left_out]))
