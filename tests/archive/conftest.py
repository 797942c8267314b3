"""One Ray cluster of this computer for all tests of archives."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_cluster import ray_cluster

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a cluster; this process is connected to it."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'sonotype[ray]'")
    from sonotype.archive.ray_engine import connect

    levels = {name: logging.getLogger(name).level for name in ("ray", "ray.data")}
    with warnings.catch_warnings(), ray_cluster(3, [str(TESTS)]) as address:
        warnings.simplefilter("ignore")
        ray = connect(address)
        yield address
        ray.shutdown()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
