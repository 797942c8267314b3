"""The names of the files of a run folder, and when a run ended; imports no network."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sonotype.core.json_text import read_json

CONFIG, MODEL, SCORES = "config.json", "model.safetensors", "scores.json"
PREDICTIONS, HISTORY, TIME = "predictions.npz", "training.csv", "time.json"
REPORT = "report.html"
"""The page of a run, which :mod:`sonotype.report` writes."""


def finished_at(folder: Path) -> datetime | None:
    """When a run ended; ``None`` where it is not known, as for runs of earlier versions."""
    try:
        return datetime.fromisoformat(read_json(folder / TIME)["finished"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
