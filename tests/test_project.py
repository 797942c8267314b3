"""The declared dependencies, and the checks of a commit."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import sonotype

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\[ ;]", text)[0].lower() for text in requirements}


def imported() -> set[str]:
    """Distributions that the package imports anywhere."""
    modules: set[str] = set()
    for path in Path(sonotype.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                modules.add(str(node.module).partition(".")[0])
    distributions = packages_distributions()
    modules -= {*sys.stdlib_module_names, "sonotype"}
    # An optional package that is not installed: its import name is its name.
    names_of = (distributions.get(module, [module])[0] for module in modules)
    return {name.lower().replace("_", "-") for name in names_of}


def test_imports_are_the_declared_dependencies() -> None:
    extras = PROJECT["optional-dependencies"]
    parts = (
        "app", "hub", "live", "onnx", "parquet", "ray", "search", "sed", "serve", "tensorboard",
    )  # fmt: skip
    optional = set().union(*(names(extras[extra]) for extra in parts))
    assert imported() - optional == names(PROJECT["dependencies"])


def test_typer_supports_literals() -> None:
    assert "typer>=0.20" in PROJECT["dependencies"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checks, a folder of assets next to it, and a make that prints its argument."""
    if not (ROOT / ".ci" / "run").is_file():
        pytest.skip(".ci/run is not in the source archive")
    (tmp_path / "main" / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", tmp_path / "main" / ".ci")
    (tmp_path / "shared" / "golden").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    make = tmp_path / "bin" / "make"
    make.write_text('#!/bin/sh\necho "$1 ${SONOTYPE_TEST_ASSETS-unset}"\n')
    make.chmod(0o755)
    return tmp_path


@pytest.mark.skipif(shutil.which("bash") is None, reason="the checks are a bash script")
@pytest.mark.parametrize("value", [None, "", "elsewhere"])
@pytest.mark.parametrize("has_assets", [True, False])
def test_the_folder_of_assets_is_chosen_unless_the_variable_is_set(
    checkout: Path, value: str | None, has_assets: bool
) -> None:
    if not has_assets:
        (checkout / "shared" / "golden").rmdir()
    environment = {**os.environ, "PATH": f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("SONOTYPE_TEST_ASSETS", None)
    environment["SONOTYPE_TEST_ORT_WEB"] = ""  # nothing is downloaded
    if value is not None:
        environment["SONOTYPE_TEST_ASSETS"] = value
    done = subprocess.run(
        ["bash", checkout / "main" / ".ci" / "run"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    default = str(checkout / "shared") if has_assets else "unset"
    expected = default if value is None else value
    assert done.stdout.splitlines() == [f"{step} {expected}" for step in ("test", "lint", "docs")]
