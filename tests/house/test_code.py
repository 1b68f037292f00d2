"""House rules on the code that ruff, mypy and import-linter do not know."""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.house import source
from tests.house.source import CODE_FOLDERS, ROOT, Module

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# What a command prints is its result; nothing else in the appliance prints.
PRINTING = {
    "edge/__main__.py",
    "edge/audit/command.py",
    "edge/health/backup_command.py",
    "edge/health/certificate_command.py",
    "edge/health/clock_command.py",
    "edge/health/doctor.py",
    "edge/health/export_command.py",
    "edge/health/store_command.py",
    "edge/pipeline/analyze.py",
    "edge/pipeline/receipts.py",
}
EDGE_LINES = 29_000
# Where the name to import is not the name to install.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "SimpleITK": "simpleitk",
    "cv2": "opencv-python-headless",
    "data_store": "pydicom-data",
    "dicomanonymizer": "dicom-anonymizer",
    "fpdf": "fpdf2",
    "gdcm": "python-gdcm",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "zmq": "pyzmq",
}


@pytest.mark.parametrize("folders", [("edge",), ("models", "calibration")], ids=["appliance", "model making"])
def test_functions_are_short(folders: tuple[str, ...]) -> None:
    lengths = dict(pair for module in source.modules(*folders) for pair in source.functions(module))
    longest = max(lengths, key=lambda name: lengths[name])
    assert lengths[longest] <= 60, longest
    by_length = sorted(lengths.values())
    assert statistics.median(by_length) <= 6
    assert by_length[len(by_length) * 9 // 10] <= 25


def test_files_are_short() -> None:
    long = {module.name: module.lines for module in source.modules(*CODE_FOLDERS, "tests") if module.lines >= 400}
    assert long == {}


def test_edge_stays_within_its_budget_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    rooms: Counter[str] = Counter()
    for module in source.modules("edge"):
        parts = module.name.split("/")
        rooms[parts[1] if len(parts) > 2 else "(top)"] += module.lines
    with capsys.disabled():
        table = "  ".join(f"{room} {lines}" for room, lines in sorted(rooms.items()))
        print(f"\nLines in edge/: {rooms.total()} of {EDGE_LINES}  ({table})")
    assert rooms.total() <= EDGE_LINES


def test_every_module_says_what_it_is_for() -> None:
    written = [module for module in source.modules(*CODE_FOLDERS) if module.text.strip()]
    assert [module.name for module in written if not ast.get_docstring(module.tree)] == []


def test_public_names_have_docstrings() -> None:
    documented = dict(pair for module in source.modules(*CODE_FOLDERS) for pair in source.public_names(module))
    silent = [name for name, has in documented.items() if not has]
    assert len(silent) <= 0.05 * len(documented), silent


def test_what_is_imported_is_declared() -> None:
    """An import of a package that only another one brought breaks when that one changes its mind."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[<>=;\s]", line)[0] for line in project["dependencies"]}
    for_training = {re.split(r"[<>=;\s]", line)[0] for line in project["optional-dependencies"]["train"]}
    assert _packages("edge") - declared <= {"pydicom-data"}  # the demo's, loaded where it is asked for
    assert _packages("models", "calibration") <= declared | for_training


def test_only_commands_print() -> None:
    printing = {m.name for m in source.modules("edge") for call in _calls(m) if _name(call.func) == "print"}
    assert printing <= PRINTING


def test_no_error_is_swallowed() -> None:
    assert [place for module in source.modules(*CODE_FOLDERS) for place in _swallowed(module)] == []


def test_nothing_happens_at_import() -> None:
    """A bare call at module level is a side effect; assignments and definitions are not."""
    acting = [
        f"{module.name}:{node.lineno}"
        for module in source.modules(*CODE_FOLDERS)
        for node in module.tree.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    assert acting == []


def test_there_is_no_global_state() -> None:
    nodes = ((m.name, node) for m in source.modules(*CODE_FOLDERS) for node in ast.walk(m.tree))
    assert [name for name, node in nodes if isinstance(node, ast.Global)] == []


def test_time_comes_from_one_place() -> None:
    """A timeout on the wall clock breaks when the clock is set; ``edge.clock`` gives both clocks."""
    direct = {"time.time", "time.monotonic", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
    asking = {
        module.name
        for module in source.modules("edge")
        for call in _calls(module)
        if ".".join(_name(call.func).split(".")[-2:]) in direct
    }
    assert asking <= {"edge/clock.py"}


def test_no_shell_ever_sees_outside_data() -> None:
    shells = [
        f"{module.name}:{call.lineno}"
        for module in source.modules(*CODE_FOLDERS)
        for call in _calls(module)
        if _name(call.func) in {"os.system", "os.popen"} or any(key.arg == "shell" for key in call.keywords)
    ]
    assert shells == []


def test_every_room_has_its_tests() -> None:
    rooms = {module.name.split("/")[1] for module in source.modules("edge") if module.name.count("/") > 1}
    tested = {path.parent.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    assert rooms - tested == set()


def _packages(*folders: str) -> set[str]:
    """Distributions that the folders import from, by the name under which they are declared."""
    nodes = [node for module in source.modules(*folders) for node in ast.walk(module.tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    outside = {name.split(".")[0] for name in names} - sys.stdlib_module_names - set(CODE_FOLDERS) - {"tomllib"}
    return {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in outside}


def _calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _swallowed(module: Module) -> Iterator[str]:
    broad = {"", "Exception", "BaseException"}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = _name(node.type) if node.type else ""
            if caught in broad and all(isinstance(step, ast.Pass | ast.Continue) for step in node.body):
                yield f"{module.name}:{node.lineno}"
        elif isinstance(node, ast.Call) and _name(node.func).endswith("suppress"):
            if any(_name(argument) in broad for argument in node.args):
                yield f"{module.name}:{node.lineno}"
