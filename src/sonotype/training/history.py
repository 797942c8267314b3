"""The log of a training: losses and scores of each epoch, in one CSV file for each session."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sonotype.config import TrainOptions
from sonotype.core.csv_file import readable_rows
from sonotype.core.errors import MissingExtraError

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger


LAST_EPOCH = 10**9
"""A larger number in a log is damage; no plot could show it."""


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Losses and scores of a training, one dict for each epoch, which counts from 1.

    Where two sessions logged an epoch, the later session counts: the earlier one was killed after
    the checkpoint from which the later one resumed. A folder without logs gives an empty list.
    Logs and rows that cannot be read are left out: a training must not end without its results
    because a log is damaged.
    """
    epochs: dict[int, dict[str, Any]] = {}
    for session in range(1, _session_count(folder) + 1):
        path = folder / "log" / f"part_{session}" / "metrics.csv"
        with suppress(OSError):
            for row in readable_rows(path):
                values = {name: value for name, value in row.items() if value and name != "step"}
                if (epoch := _epoch(values)) is not None:
                    epochs[epoch] = epochs.get(epoch, {}) | values | {"epoch": epoch}
    return [epochs[epoch] for epoch in sorted(epochs)]


def new_loggers(folder: Path, options: TrainOptions) -> list[Logger]:
    """The loggers of a new session; each has its own folder, as Lightning empties older folders."""
    from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger  # slow to import

    session = f"part_{_session_count(folder) + 1}"
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
    """The epoch of a row, from 1; ``None`` if a value of the row is no number."""
    try:
        for value in values.values():
            float(value)
        epoch = int(values["epoch"])
    except (KeyError, ValueError):
        return None
    return epoch + 1 if 0 <= epoch < LAST_EPOCH else None


def _session_count(folder: Path) -> int:
    return len(list((folder / "log").glob("part_*/metrics.csv")))
