"""Shared by all tests: one thread a process, and the folder of real sounds and weights, if any."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

# Two test processes on two cores: more threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Each process has a cache of its own: tests neither fill nor use the cache of a user.
os.environ["SONOTYPE_CACHE"] = tempfile.mkdtemp(prefix="sonotype-tests-")
atexit.register(shutil.rmtree, os.environ["SONOTYPE_CACHE"], ignore_errors=True)

ASSETS_VARIABLE = "SONOTYPE_TEST_ASSETS"


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder with golden files, real sounds and real weights; skips where it is not given."""
    folder = os.environ.get(ASSETS_VARIABLE)
    if not folder:
        pytest.skip(f"{ASSETS_VARIABLE} is not set: no golden files, real sounds or real weights")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def equal_exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The processes of a run export equal models once."""
    if find_spec("onnx") is None:
        yield
        return
    from shared_exports import shared_exports

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with shared_exports(folder / "exports"):
        yield
