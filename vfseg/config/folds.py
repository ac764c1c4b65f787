"""Where the models of a cross-validation lie: in a folder `fold-K` of its workdir each."""

from pathlib import Path

_NAME = "fold-"


def fold_workdir(workdir: Path, fold: int) -> Path:
    """The workdir of a fold in that of the cross-validation."""
    return workdir / f"{_NAME}{fold}"


def folds_of(path: Path) -> list[Path]:
    """Workdirs of the folds that were trained in a workdir, in order; empty where there are none.

    Empty, too, where the path holds checkpoints of its own.
    """
    if (path / "checkpoints").is_dir():
        return []
    trained = [at.parent for at in path.glob(f"{_NAME}*/checkpoints")]
    numbered = {name: at for at in trained if (name := at.name.removeprefix(_NAME)).isdigit()}
    return [numbered[name] for name in sorted(numbered, key=int)]
