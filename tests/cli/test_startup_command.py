"""``--help`` imports nothing heavy and takes less than 0.4 s of processor time."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

LIMIT, TRIES = 0.4, 5

CODE = """
import sys
from sonotype.cli.main import run
code = run(sys.argv[1:])
heavy = "torch numpy scipy pandas sklearn matplotlib pytorch_lightning soundfile soxr rich"
found = sorted(set(heavy.split()) & set(sys.modules))
assert code == 0 and not found, (code, found)
"""


def seconds(argv: list[str]) -> float:
    """Processor time of a process, which depends little on the load of the machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


@pytest.mark.parametrize(
    "words",
    [
        "--version",
        "train --help",
        "predict --help",
        "detect --help",
        "embed --help",
        "data list --help",
    ],
)
def test_help_is_quick(words: str) -> None:
    argv = [sys.executable, "-c", CODE, *words.split()]
    best = float("inf")
    for _ in range(TRIES):
        best = min(best, seconds(argv))
        if best < LIMIT:
            break
    assert best < LIMIT
