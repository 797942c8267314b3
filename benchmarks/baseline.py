"""One row of the benchmark: how its model file is written, loaded, run, and checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Clips = npt.NDArray[np.float32]
Predictions = npt.NDArray[Any]
Run = Callable[[Clips], Predictions]
Group = Literal["classifier", "log-mel 16 kHz", "log-mel 32 kHz"]

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 5.0
ASSETS_VARIABLE = "SONOTYPE_TEST_ASSETS"


class NotAvailableError(Exception):
    """A file that a baseline needs is missing; the text goes into the notes of the table."""


@dataclass(frozen=True)
class Facts:
    """Properties that need no clock; ``None`` where unknown."""

    parameters: int | None = None
    multiply_adds: int | None = None  # of one clip, without Fourier transforms
    size: int | None = None  # bytes of the model file


@dataclass(frozen=True)
class Loaded:
    """A baseline ready to run."""

    single: Run  # [samples] to its predictions
    modes: Mapping[str, Run]  # [clips, samples] to the predictions of all; the fastest is used


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A row of the tables."""

    name: str  # for --only, and of the folder of its files
    title: str
    group: Group  # rows of one group are compared
    sample_rate: int  # of its input, in Hz
    packages: tuple[str, ...]  # without them the row is "missing"
    write: Callable[[Path], Facts]  # writes the model file into a folder, once
    load: Callable[[Path, int], Loaded]  # from that folder, for a number of threads
    reference: Callable[[Path], Run]  # [samples] to predictions in double precision
    batch: int = 16  # repeats take multiples of this number of clips
    tolerance: float = 1e-3  # times of larger deviations from the reference are discarded
    note: str = ""  # below the tables


def asset(*names: str) -> Path | None:
    """A file or folder below ``SONOTYPE_TEST_ASSETS``; ``None`` if it is missing."""
    folder = os.environ.get(ASSETS_VARIABLE)
    path = Path(folder, *names) if folder else None
    return path if path is not None and path.exists() else None


def required_asset(*names: str) -> Path:
    """As :func:`asset`.

    Raises:
        NotAvailableError: it is missing.
    """
    path = asset(*names)
    if path is None:
        file = "/".join(names)
        raise NotAvailableError(f"no file: {ASSETS_VARIABLE} names no folder with {file}")
    return path
