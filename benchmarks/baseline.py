"""One row of the benchmark: how its model file is written, loaded, run, and checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Clips = npt.NDArray[np.float32]
Predictions = npt.NDArray[Any]
Run = Callable[[Clips], Predictions]
Group = Literal["classifier", "Log-mel 16 kHz", "Log-mel 32 kHz"]

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 5.0


class Facts(NamedTuple):
    """Properties that need no clock; ``None`` where unknown."""

    parameters: int | None = None
    multiply_adds: int | None = None  # of one clip, without Fourier transforms
    size: int | None = None  # bytes of the model file


class Loaded(NamedTuple):
    """A baseline ready to run."""

    single: Run  # [samples] to its predictions
    modes: Mapping[str, Run]  # [clips, samples] to the predictions of all; the fastest is used


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A row of the tables."""

    name: str  # for --only, and of the folder of its files
    title: str
    group: Group = "classifier"  # rows of one group are compared
    sample_rate: int  # of its input, in Hz
    packages: tuple[str, ...]  # without them the row is "missing"
    write: Callable[[Path], Facts]  # writes the model file into a folder, once
    load: Callable[[Path, int], Loaded]  # from that folder, for a number of threads
    reference: Callable[[Path], Run]  # [samples] to predictions in double precision
    batch: int = 16  # repeats take multiples of this number of clips
    tolerance: float = 1e-3  # times of larger deviations from the reference are discarded
    note: str = ""  # below the tables


def asset(name: str) -> Path | None:
    """A file or folder below ``SONOTYPE_TEST_ASSETS``; ``None`` if it is missing."""
    path = Path(os.environ.get("SONOTYPE_TEST_ASSETS", "/nowhere"), name)
    return path if path.exists() else None
