"""Folders follow the way of the data: a module imports only from its own and from earlier ones."""

import ast
from pathlib import Path

import vfseg

ORDER = ("data", "models", "training", "inference", "evaluation", "report")
EVERYWHERE = {"errors"}
ROOT = Path(vfseg.__file__).parent


def imported_parts(source):
    """Second part of every `vfseg.X` that a module imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield "(relative)"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vfseg":
            names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            yield from names
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "vfseg":
                    yield [*alias.name.split("."), ""][1]


def test_modules_import_only_from_their_own_folder_and_earlier_ones():
    wrong = []
    modules = [path for folder in ORDER for path in (ROOT / folder).rglob("*.py")]
    assert len(modules) > 20
    for path in modules:
        folder = path.relative_to(ROOT).parts[0]
        allowed = EVERYWHERE | set(ORDER[: ORDER.index(folder) + 1])
        for part in imported_parts(path.read_text()):
            if part not in allowed:
                wrong.append(f"{path.relative_to(ROOT)} imports vfseg.{part}")
    assert not wrong


def test_the_check_sees_every_form_of_import():
    source = (
        "import vfseg.models.generator\nfrom vfseg import data\nfrom vfseg.report.page import x\n"
    )
    source += "def f():\n    from . import y\n"
    assert list(imported_parts(source)) == ["models", "data", "report", "(relative)"]
