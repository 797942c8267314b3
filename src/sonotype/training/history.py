"""The log of a training: losses and scores of each epoch, in one CSV file for each session."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonotype.config import TrainOptions
from sonotype.core.csv_file import readable_rows
from sonotype.core.errors import MissingExtraError

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger


LAST_EPOCH, LARGEST = 10**9, 1e30
"""A larger epoch or finite value in a log is damage; no plot could show it."""
PART = re.compile(r"part_([0-9]{1,9})")
"""Folder of the log of a session."""


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Losses and scores of a training, one dict for each epoch, which counts from 1.

    Where two sessions logged an epoch, the later session counts: the earlier one was killed after
    the checkpoint from which the later one resumed. A folder without logs gives an empty list.
    Logs, rows and columns that cannot be read are left out: a training must not end without its
    results because a log is damaged.
    """
    epochs: dict[int, dict[str, Any]] = {}
    for session in _sessions(folder):
        path = folder / "log" / f"part_{session}" / "metrics.csv"
        with suppress(OSError):
            for row in readable_rows(path):
                values = {
                    name: value
                    for name, value in row.items()
                    if value and name != "step" and name.isascii()
                }
                if (epoch := _epoch(values)) is not None:
                    epochs[epoch] = epochs.get(epoch, {}) | values | {"epoch": epoch}
    return [epochs[epoch] for epoch in sorted(epochs)]


def new_loggers(folder: Path, options: TrainOptions) -> list[Logger]:
    """The loggers of a new session; each has its own folder, as Lightning empties older folders."""
    from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger  # slow to import

    session = f"part_{max(_sessions(folder), default=0) + 1}"
    loggers: list[Logger] = [CSVLogger(folder, name="log", version=session)]
    if options.tensorboard:
        loggers.append(TensorBoardLogger(folder, name="tensorboard", version=""))
    return loggers


def require_tensorboard(options: TrainOptions) -> None:
    """Raise a ``MissingExtraError`` if TensorBoard logs are wanted but cannot be written."""
    if options.tensorboard:
        try:
            importlib.import_module("tensorboard")
        except ImportError:
            raise MissingExtraError("--tensorboard", "tensorboard") from None


def _epoch(values: Mapping[str, str]) -> int | None:
    """The epoch of a row, from 1; ``None`` if a value of the row is no number, or damaged."""
    try:
        if any(LARGEST < abs(float(value)) < math.inf for value in values.values()):
            return None
        epoch = int(values["epoch"])
    except (KeyError, ValueError):
        return None
    return epoch + 1 if 0 <= epoch < LAST_EPOCH else None


def _sessions(folder: Path) -> list[int]:
    """The numbers of the sessions that have logs."""
    names = [path.name for path in (folder / "log").glob("part_*")]
    return sorted(int(found[1]) for name in names if (found := PART.fullmatch(name)))
