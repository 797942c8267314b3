"""Shared by the tests of commands; nothing here is to be changed by a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished_runs import no_plots  # noqa: F401 - used by every test
from small_models import write_model
from training_data import write_tones


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tones of each of four events."""
    return write_tones(tmp_path_factory.mktemp("data") / "tones", clips=4)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights."""
    return write_model(tmp_path_factory.mktemp("model") / "model.safetensors")
