"""One Ray cluster of this computer for all tests of archives."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator

import pytest

from sonotype.archive.ray_engine import SETTINGS


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a cluster with two processors; its actors find the modules of the tests."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'sonotype[ray]'")
    os.environ.update(SETTINGS)
    before = logging.getLogger("ray").level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = ray.init(
            num_cpus=3, include_dashboard=False, log_to_driver=False,
            logging_level=logging.ERROR, object_store_memory=100 << 20,
        )  # fmt: skip
        yield str(context.address_info["gcs_address"])
        ray.shutdown()
    logging.getLogger("ray").setLevel(before)
