"""The page of promises names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises() -> list[str]:
    """The lines of the table that hold a promise; headlines end with an empty cell."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    return [line for line in lines[1:] if not line.endswith("| |")]


def test_each_promise_names_a_test_that_exists() -> None:
    functions: dict[str, set[str]] = {}
    assert len(promises()) > 30
    for line in promises():
        named = NAMED.findall(line)
        assert named, f"no test: {line}"
        for file, name in named:
            if file not in functions:
                tree = ast.parse((ROOT / file).read_text("utf-8"))
                functions[file] = {
                    node.name for node in tree.body if isinstance(node, ast.FunctionDef)
                }
            assert name.startswith("test_")
            assert name in functions[file], f"{file} has no {name}"
