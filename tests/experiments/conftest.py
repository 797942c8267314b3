"""Shared by the tests of experiments: tones, a finished run, and plots that are not drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished_runs import no_plots  # noqa: F401 - used by every test
from training_data import SMALL, write_table, write_tones

from sonotype.experiments.pipeline import TrainResult, train


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six tones of each of four events; not to be changed by a test."""
    return write_tones(tmp_path_factory.mktemp("data") / "tones")


@pytest.fixture(scope="session")
def table(tones: Path) -> Path:
    """Four tones of each event in two folds; not to be changed by a test."""
    return write_table(tones, tones.parent / "tones.csv")


@pytest.fixture(scope="session")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A finished run of four epochs; not to be changed by a test."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return train(tones, folder, **SMALL | {"epochs": 4, "patience": 4})
