"""Shared by the tests of experiments: tones, a finished run, and plots that are not drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from training_data import SMALL, write_table, write_tones

from sonotype.experiments.pipeline import TrainResult, train


@pytest.fixture(scope="session", autouse=True)
def no_plots() -> Iterator[None]:
    """Drawing takes longer than a tiny training; the files of the plots are empty."""

    def touch(*arguments: Any, **_: Any) -> None:
        path = next(value for value in arguments if isinstance(value, Path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    with pytest.MonkeyPatch.context() as patched:
        for name in ("plot_confusion", "plot_per_class", "plot_history"):
            patched.setattr(f"sonotype.evaluation.write_report.{name}", touch)
        yield


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
