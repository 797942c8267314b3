"""The package and the command line start without heavy imports, and JSON has one writer.

The directions of imports are contracts of import-linter in ``pyproject.toml``.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sonotype

ROOT = Path(sonotype.__file__).parent
HEAVY = {
    "av", "matplotlib", "numpy", "onnx", "onnxruntime", "pandas", "pytorch_lightning",
    "rich.console", "rich.table", "safetensors", "scipy", "sklearn", "soundfile", "soxr", "torch",
    "sonotype.cli.prediction_output",
}  # fmt: skip
DIGESTED = {
    "data/manifest.py", "data/augment/augmented_copies.py", "features/store.py",
    "features/cache.py", "features/code_identity.py", "training/distillation/targets.py",
    "training/distillation/teachers.py", "experiments/cross_validation.py",
}  # fmt: skip
"""Files that use JSON for digests and for keys of the cache alone."""


@pytest.mark.parametrize("statement", ["import sonotype.cli.main", "import sonotype"])
def test_heavy_packages_are_not_loaded_by(statement: str) -> None:
    script = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert HEAVY & set(out.stdout.split()) == set()


def test_json_is_written_by_one_function() -> None:
    """It writes numbers that JSON does not know as null."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if "json.dump" in calls_of(ast.parse(path.read_text(encoding="utf-8")))
    }
    messages = {"data/dataset_info.py", "modelfile/card.py"}  # show a value in an error
    assert found - DIGESTED == {"core/json_text.py", *messages}


def test_json_is_read_by_one_function() -> None:
    """It refuses values that are nested too deeply, and integers that most functions cannot use."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if "json.load" in calls_of(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == {"core/json_text.py"}


def calls_of(tree: ast.AST) -> str:
    return " ".join(ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call))


def test_packages_import_none_of_their_modules() -> None:
    """Else two threads that import two modules of a package can find one of them half imported."""
    packages = sorted(path for path in ROOT.rglob("__init__.py") if path.parent != ROOT)
    assert packages
    wrong = [
        (path, node.module)
        for path in packages
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sonotype")
    ]
    assert not wrong


CODE = """
import sys, threading, time
from importlib.abc import MetaPathFinder

class Slow(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.startswith("sonotype.frontends"):
            time.sleep(0.2)

sys.meta_path.insert(0, Slow())
errors = []

def use(module):
    try:
        __import__(module)
    except Exception as error:
        errors.append(error)

names = ["sonotype.frontends.mel", "sonotype.frontends.vggish_logmel"]
threads = [threading.Thread(target=use, args=(name,)) for name in names]
for thread in threads:
    thread.start()
    time.sleep(0.1)
for thread in threads:
    thread.join()
assert not errors, errors
"""


def test_threads_import_front_ends_at_the_same_time() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)


def test_threads_of_the_page_import_slow_packages_one_after_the_other() -> None:
    slow = ("scipy", "torch", *(f"sonotype.{name}." for name in (
        "evaluation", "explain", "export", "frontends", "inference", "report"
    )))  # fmt: skip
    files = [path for path in (ROOT / "app").glob("*.py") if path.name != "worker.py"]
    found, locked = set(), set()
    for path in files:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found |= {(path.name, name) for name in imports_in(function, slow)}
            if isinstance(function, ast.With) and "IMPORTING" in ast.unparse(function.items[0]):
                locked |= {(path.name, name) for name in imports_in(function, slow)}
    assert found
    assert found == locked


def imports_in(tree: ast.AST, names: tuple[str, ...]) -> set[str]:
    """The modules of these packages from which a part of a program imports."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {node.module for node in nodes if node.module and node.module.startswith(names)}
