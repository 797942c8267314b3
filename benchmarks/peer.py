"""The shape of one row of the benchmark: how it is written, loaded and asked, and its slow twin."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Clips = npt.NDArray[np.float32]
Answer = npt.NDArray[Any]
Group = Literal["classifier", "log-mel 16 kHz", "log-mel 32 kHz"]

SECONDS = 5.0
ASSETS_VARIABLE = "SONOTYPE_TEST_ASSETS"


class NotGivenError(Exception):
    """What a peer needs is not there; the text says what, and stands in the table's notes."""


@dataclass(frozen=True)
class Facts:
    """What is known of a peer without a clock.

    Attributes:
        parameters: of the network.
        multiply_adds: of one clip, Fourier transforms left out.
        size: of the model file, in bytes.
    """

    parameters: int | None = None
    multiply_adds: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class Loaded:
    """A peer at work.

    Attributes:
        one: ``[samples]`` to its answer.
        ways: by name, ``[clips, samples]`` to all their answers; the fastest one counts.
    """

    one: Callable[[Clips], Answer]
    ways: Mapping[str, Callable[[Clips], Answer]]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A row.

    Attributes:
        name: for ``--only``, and the folder of its files.
        title: in the tables.
        group: rows of a group are compared.
        sample_rate: of the waveforms it takes, in Hz.
        packages: whose versions are printed; without them it is "not installed".
        write: puts its model file into a folder, once.
        load: reads that file, for so many threads.
        slow: ``[samples]`` to the answer that the fast one is compared with.
        batch: fewest clips that a repeat takes in.
        tolerance: a larger deviation from ``slow`` makes its times worthless.
        note: what a reader must know of it.
    """

    name: str
    title: str
    group: Group
    sample_rate: int
    packages: tuple[str, ...]
    write: Callable[[Path], Facts]
    load: Callable[[Path, int], Loaded]
    slow: Callable[[Path], Callable[[Clips], Answer]]
    batch: int = 16
    tolerance: float = 1e-3
    note: str = ""


def asset(*parts: str) -> Path | None:
    """A file or folder among the assets, where they are given and hold it."""
    folder = os.environ.get(ASSETS_VARIABLE)
    path = Path(folder, *parts) if folder else None
    return path if path is not None and path.exists() else None
