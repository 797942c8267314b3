"""``--help`` imports nothing heavy and takes less than 0.4 s of processor time.

``--version`` also loads soundfile and av, for the versions of their libraries; they load NumPy.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator

import pytest

LIMIT, TRIES = 0.4, 5
LIMIT_OF_VERSION = 1.0
DECODERS = {"soundfile", "av", "numpy"}

CODE = """
import sys
from sonotype.cli.main import run
code = run(sys.argv[2:])
heavy = "torch numpy scipy pandas sklearn matplotlib pytorch_lightning soundfile av soxr rich"
found = set(heavy.split()) & set(sys.modules)
assert code == 0 and found == set(sys.argv[1].split()), (code, sorted(found))
"""


@pytest.fixture(scope="module", autouse=True)
def _bytecode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An installed package has bytecode; without it, each start would compile all modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


def seconds(argv: list[str]) -> float:
    """Processor time of a process, which depends little on the load of the machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "train --help",
        "predict --help",
        "detect --help",
        "embed --help",
        "data list --help",
    ],
)
def test_help_is_quick(words: str) -> None:
    assert least_seconds(words, set(), LIMIT) < LIMIT


def test_the_version_is_quick() -> None:
    assert least_seconds("--version", DECODERS, LIMIT_OF_VERSION) < LIMIT_OF_VERSION


def least_seconds(words: str, modules: set[str], limit: float) -> float:
    """Processor time of the fastest of some runs, which load these heavy modules and no other."""
    argv = [sys.executable, "-c", CODE, " ".join(modules), *words.split()]
    best = float("inf")
    for _ in range(TRIES):
        best = min(best, seconds(argv))
        if best < limit:
            break
    return best
