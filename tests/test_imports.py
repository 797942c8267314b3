"""Imports point one way, the command line starts light, and nothing prints or unpickles.

The rules are read from the source by ast, so an import inside a function or under TYPE_CHECKING
counts for the direction as well; only what is heavy is judged by where the import stands.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sonotype

ROOT = Path(sonotype.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

BASE = (
    "ahead", "atomic", "errors", "types", "readout", "config", "progress", "device", "processors",
    "json_text",
)  # fmt: skip
LAYERS = (
    ("base",),
    ("audio", "features", "download"),
    ("models", "data"),
    ("weights",),
    ("inference",),
    ("evaluation",),
    ("export",),
    ("training",),
    ("study",),
    ("api",),
    ("cli",),
)
"""From low to high; a room imports itself and lower layers, never its neighbours."""

NARROW = {
    "models": ("sonotype.audio.clip", "sonotype.audio.windows", "sonotype.features"),
    "data": ("sonotype.audio", "sonotype.download"),
    "weights": ("sonotype.models", "sonotype.download"),
}
"""Rooms that may import less than all lower layers; the base files are open to everyone."""

HEAVY = (
    "matplotlib",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pandas",
    "pytorch_lightning",
    "rich.console",
    "rich.table",
    "safetensors",
    "scipy",
    "sklearn",
    "soundfile",
    "soxr",
    "torch",
    "torchmetrics",
)
LATE = "sonotype.cli.predictions"
"""May import heavily, since it is itself only imported inside a handler."""


def named(path: Path, root: Path = ROOT) -> str:
    """The dotted name of a source file."""
    parts = ("sonotype", *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {named(path) for path in FILES}


def room(module: str) -> str:
    parts = module.split(".")
    if len(parts) == 1:
        return "root"
    if parts[1] == "__main__":  # `python -m sonotype` is the command line
        return "cli"
    return "base" if parts[1] in BASE else parts[1]


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def imported(node: ast.AST, modules: set[str]) -> Iterator[str]:
    """Full names that one statement imports: modules, or modules and what is taken from them."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are written in full, never relative"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            # `from sonotype import __version__` takes a name, `from sonotype.data import synth`
            # a module.
            own = whole.startswith("sonotype.")
            yield whole if (own and whole in modules) or not own else str(node.module)


def own_imports(tree: ast.AST, modules: set[str]) -> set[str]:
    names = {name for node in ast.walk(tree) for name in imported(node, modules)}
    return {name for name in names if name.split(".")[0] == "sonotype"}


def turned_back(module: str, target: str) -> bool:
    """Whether the import of ``target`` in ``module`` is against the direction."""
    here, there = room(module), room(target)
    if here == "root":  # the front door leads everywhere, late
        return there == "cli"
    if there in ("root", here):  # of the root, everyone may have the version
        return False
    if layer(there) >= layer(here):
        return True
    within = NARROW.get(here)
    return there != "base" and within is not None and not starts_with(target, within)


def starts_with(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in packages)


def at_start(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_start(node.orelse)
            continue
        yield node
        for inner in ("body", "orelse", "finalbody"):
            yield from at_start(getattr(node, inner, []))
        for handler in getattr(node, "handlers", []):
            yield from at_start(handler.body)


DIGESTED = {
    "sonotype.data.manifest", "sonotype.data.waveforms", "sonotype.training.map_store",
    "sonotype.training.stages", "sonotype.training.taught", "sonotype.training.teachers",
    "sonotype.training.code_identity", "sonotype.training.crossval",
}  # fmt: skip
"""Files that use JSON for digests and for keys of the cache alone."""


def test_json_is_written_by_one_function() -> None:
    """It writes numbers that JSON does not know as null."""
    found = {named(path) for path in FILES if "json.dump" in calls_of(tree_of(path))}
    messages = {"sonotype.data.marker", "sonotype.models.card"}  # show a value in an error
    assert found - DIGESTED == {"sonotype.json_text", *messages}


def calls_of(tree: ast.AST) -> str:
    return " ".join(ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call))


def heavy_at_start(tree: ast.Module) -> list[str]:
    names = [name for node in at_start(tree.body) for name in imported(node, MODULES)]
    return sorted({name for name in names if starts_with(name, (*HEAVY, LATE))})


def unsafe(tree: ast.AST) -> list[str]:
    """What could run code hidden in a file. Naming pickle's errors, to catch them, is no use."""
    found = []
    for node in ast.walk(tree):
        for name in imported(node, MODULES):
            wrong = starts_with(name, ("cloudpickle", "dill", "joblib", "marshal", "shelve"))
            if wrong or name.startswith("pickle."):
                found.append(f"import of {name}")
        used = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle"
        if used and not node.attr.endswith("Error"):
            found.append(f"pickle.{node.attr}")
        if isinstance(node, ast.Call):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if ast.unparse(node.func) == "torch.load" and given.get("weights_only") != "True":
                found.append("torch.load without weights_only=True")
            if given.get("allow_pickle", "False") != "False":
                found.append("allow_pickle")
    return found


def prints(tree: ast.AST) -> list[int]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [node.lineno for node in calls if ast.unparse(node.func) == "print"]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def loaded_after(statement: str) -> set[str]:
    """Modules in memory after a statement in a fresh interpreter."""
    script = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_there_is_something_to_read() -> None:
    assert {"sonotype", "sonotype.data.synth.clip", "sonotype.cli.main"} <= MODULES
    assert {room(module) for module in MODULES} == {"root", *(one for row in LAYERS for one in row)}


def test_imports_point_one_way() -> None:
    back = [
        f"{named(path)} imports {target}"
        for path in FILES
        for target in sorted(own_imports(tree_of(path), MODULES))
        if turned_back(named(path), target)
    ]
    assert back == []


def test_the_command_line_imports_nothing_heavy_at_its_start() -> None:
    heavy = {
        named(path): found
        for path in FILES
        if room(named(path)) == "cli" and named(path) != LATE
        if (found := heavy_at_start(tree_of(path)))
    }
    assert heavy == {}


@pytest.mark.parametrize("statement", ["import sonotype.cli.main", "import sonotype"])
def test_heavy_packages_are_not_loaded_by(statement: str) -> None:
    loaded = loaded_after(statement)
    assert sorted(name for name in HEAVY if name in loaded) == []
    assert LATE not in loaded


def test_nothing_prints_outside_the_command_line() -> None:
    lines = {named(path): prints(tree_of(path)) for path in FILES if room(named(path)) != "cli"}
    assert {module: found for module, found in lines.items() if found} == {}


def test_nothing_unpickles() -> None:
    found = {named(path): unsafe(tree_of(path)) for path in FILES}
    assert {module: what for module, what in found.items() if what} == {}


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("sonotype.errors", "sonotype.audio.clip"),
        ("sonotype.audio.clip", "sonotype.features.mel"),
        ("sonotype.models.systems", "sonotype.data.manifest"),
        ("sonotype.data.source", "sonotype.models.vggish"),
        ("sonotype.data.source", "sonotype.features"),
        ("sonotype.models.build", "sonotype.audio.decode"),
        ("sonotype.models.build", "sonotype.download"),
        ("sonotype.weights.cache", "sonotype.data.manifest"),
        ("sonotype.inference.classifier", "sonotype.training.fit"),
        ("sonotype.evaluation.run", "sonotype.training.run"),
        ("sonotype.training.run", "sonotype.api"),
        ("sonotype.api", "sonotype.cli.main"),
        ("sonotype", "sonotype.cli.main"),
    ],
)
def test_the_rule_sees_an_import_that_turns_back(module: str, target: str) -> None:
    assert turned_back(module, target)


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("sonotype.models.build", "sonotype.audio.clip"),
        ("sonotype.models.build", "sonotype.config"),
        ("sonotype.data.synth.clip", "sonotype.data.manifest"),
        ("sonotype.training.run", "sonotype"),
        ("sonotype.cli.train", "sonotype.data.source"),
        ("sonotype", "sonotype.api"),
    ],
)
def test_the_rule_lets_pass(module: str, target: str) -> None:
    assert not turned_back(module, target)


def test_hidden_imports_count_for_the_direction_but_not_for_the_start() -> None:
    tree = ast.parse(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import numpy as np\n    from sonotype.cli import main\n"
        "try:\n    import pandas as pd\nexcept ImportError:\n    import scipy.signal\n"
        "class A:\n    from rich.table import Table\n"
        "def run():\n    import torch\n    from sonotype import api\n"
        "    import sonotype.training.run\n"
    )
    assert own_imports(tree, MODULES) == {
        "sonotype.cli.main",
        "sonotype.api",
        "sonotype.training.run",
    }
    assert heavy_at_start(tree) == ["pandas", "rich.table.Table", "scipy.signal"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("torch.load(path)", ["torch.load without weights_only=True"]),
        ("torch.load(path, weights_only=False)", ["torch.load without weights_only=True"]),
        ("torch.load(path, weights_only=True)", []),
        ("np.load(path, allow_pickle=True)", ["allow_pickle"]),
        ("from pickle import loads", ["import of pickle.loads"]),
        ("pickle.loads(text)", ["pickle.loads"]),
        ("import joblib", ["import of joblib"]),
        ("import pickle\ntry:\n    f()\nexcept pickle.UnpicklingError:\n    g()", []),
    ],
)
def test_the_rule_against_unpickling(line: str, found: list[str]) -> None:
    assert unsafe(ast.parse(line)) == found
