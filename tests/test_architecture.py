"""The shape of the package: imports run one way, private names stay at home, files are small.

`docs/architecture.md` says what each folder is for.
"""

import ast
from pathlib import Path

import vfseg

GROUND = (
    *("errors", "files", "json_files", "settings", "schemas", "digests", "locks", "messages"),
    *("stopping", "devices", "processes"),
)
FOLDERS = (
    *("data", "synthesis", "crops", "drawing", "audit", "models", "training", "inference"),
    *("localisation", "evaluation", "segmentation", "report", "config", "commands", "api"),
)
ROOT = Path(vfseg.__file__).parent
PROJECT = Path(__file__).parent.parent
MOST_LINES = 350


def imports(source):
    """Module and name of all that a module imports; a name is "" where the module itself is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def parts(source):
    """First part below `vfseg` of every import from the package; "(relative)" of a relative one."""
    for module, name in imports(source):
        first, *rest = module.split(".")
        if module.startswith("."):
            yield "(relative)"
        elif first == "vfseg":
            yield rest[0] if rest else name


def test_modules_import_only_from_their_own_folder_and_earlier_ones():
    wrong = []
    modules = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(modules) > 100
    for path in modules:
        folder = path.relative_to(ROOT).parts[0]
        allowed = {*GROUND, *FOLDERS[: FOLDERS.index(folder) + 1], "RESEARCH_USE"}
        for part in parts(path.read_text()):
            if part not in allowed:
                wrong.append(f"{path.relative_to(ROOT)} imports vfseg.{part}")
    assert not wrong


def test_the_ground_floor_imports_nothing_from_above():
    for number, name in enumerate(GROUND):
        assert set(parts((ROOT / f"{name}.py").read_text())) <= set(GROUND[:number])


def test_every_folder_and_module_of_the_package_has_its_place():
    found = {p.stem for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert found == {"__init__", "__main__", "main", *GROUND, *FOLDERS}


def test_the_check_sees_every_form_of_import():
    source = (
        "import vfseg.models.generator\nfrom vfseg import data\nfrom vfseg.report.page import x\n"
    )
    source += "def f():\n    from . import y\n"
    assert list(parts(source)) == ["models", "data", "report", "(relative)"]


def test_no_module_reaches_for_a_private_name_of_another():
    wrong = [
        f"{path.relative_to(PROJECT)} imports {module}.{name}"
        for folder in ("vfseg", "benchmarks")
        for path in (PROJECT / folder).rglob("*.py")
        for module, name in imports(path.read_text())
        if module.split(".")[0] in ("vfseg", "benchmarks") and name.startswith("_")
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    graph = {}
    for folder in ("vfseg", "benchmarks"):
        for path in (PROJECT / folder).rglob("*.py"):
            own = path.relative_to(PROJECT).with_suffix("").parts
            name = ".".join(own[:-1] if own[-1] == "__init__" else own)
            graph[name] = {
                target
                for module, imported in imports(path.read_text())
                for target in (f"{module}.{imported}", module)
            }
    graph = {name: {t for t in targets if t in graph} - {name} for name, targets in graph.items()}
    for package in [name for name in graph if any(n.startswith(f"{name}.") for n in graph)]:
        for targets in graph.values():  # what a package hands on comes from the modules in it
            targets.discard(package)
    while leaves := {name for name, targets in graph.items() if not targets}:
        graph = {name: targets - leaves for name, targets in graph.items() if name not in leaves}
    assert not graph


def test_files_hold_one_concept():
    files = [
        path
        for folder in ("vfseg", "tests", "benchmarks", "configs")
        for path in (PROJECT / folder).rglob("*.py")
    ]
    lengths = {str(p.relative_to(PROJECT)): len(p.read_text().splitlines()) for p in files}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
