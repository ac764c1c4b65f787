"""Mode `prepare`: the crops of all vertebrae, in a store, and the splits."""

from vfseg import processes
from vfseg.commands.workdir import Run


def prepare(run: Run) -> None:
    """Brings cohorts, store and splits up to date; what stands is left alone."""
    sizes = {split: len(records) for split, records in run.prepared.records.items()}
    if processes.is_first():
        print(f"prepared: {', '.join(f'{n} {split}' for split, n in sizes.items())} cases")
        print(f"store: {run.store}")
