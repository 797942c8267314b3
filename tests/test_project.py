"""What stands around the code: the declared dependencies, and what a commit has to pass."""

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
    return {re.split(r"[<>=!~\[ ;]", one)[0].lower() for one in requirements}


def imported() -> set[str]:
    """Distributions that the package imports, wherever the import stands."""
    modules: set[str] = set()
    for path in Path(sonotype.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                modules.add(str(node.module).partition(".")[0])
    homes = packages_distributions()
    modules -= {*sys.stdlib_module_names, "sonotype"}
    return {homes[module][0].lower().replace("_", "-") for module in modules}


def test_what_is_imported_is_declared_and_nothing_else() -> None:
    extras = PROJECT["optional-dependencies"]
    optional = set().union(*(names(extras[one]) for one in ("onnx", "parquet", "tensorboard")))
    assert imported() - optional == names(PROJECT["dependencies"])


def test_the_command_line_needs_a_typer_that_knows_literals() -> None:
    assert "typer>=0.20" in PROJECT["dependencies"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the commit's checks, with a folder of assets beside it and a make that only tells
    what it was called with."""
    (tmp_path / "main" / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", tmp_path / "main" / ".ci")
    (tmp_path / "shared" / "golden").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    make = tmp_path / "bin" / "make"
    make.write_text('#!/bin/sh\necho "$1 ${SONOTYPE_TEST_ASSETS-unset}"\n')
    make.chmod(0o755)
    return tmp_path


@pytest.mark.skipif(shutil.which("bash") is None, reason="the checks are a bash script")
@pytest.mark.parametrize("given", [None, "", "elsewhere"])
@pytest.mark.parametrize("beside", [True, False])
def test_the_folder_of_assets_is_chosen_only_where_none_is_named(
    checkout: Path, given: str | None, beside: bool
) -> None:
    if not beside:
        (checkout / "shared" / "golden").rmdir()
    environment = {**os.environ, "PATH": f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("SONOTYPE_TEST_ASSETS", None)
    if given is not None:
        environment["SONOTYPE_TEST_ASSETS"] = given
    done = subprocess.run(
        ["bash", checkout / "main" / ".ci" / "run"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = given if given is not None else str(checkout / "shared") if beside else "unset"
    assert done.stdout.splitlines() == [f"test {wanted}", f"lint {wanted}"]
