"""Folders of finished runs with predictions that a test chooses, written without a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sonotype.evaluation.metrics import score, scores_to_json
from sonotype.evaluation.predictions import Predictions, save_predictions
from sonotype.experiments.run_folder import write_seconds
from sonotype.experiments.run_options import RunOptions


def of_another_version(folder: Path) -> Path:
    """Add an option that this version does not know to a run."""
    config = json.loads((folder / "config.json").read_text())
    config |= {"sonotype": "9.9", "options": config["options"] | {"colour": "red"}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_run_folder(
    folder: Path,
    predictions: Predictions,
    *,
    data: str = "sounds",
    fingerprint: str = "f1",
    seconds: float = 0.0,
    notes: tuple[str, ...] = ("cross-fitting",),
    **options: Any,
) -> Path:
    """A run folder with ``config.json``, predictions, scores and, if given, the wall time."""
    folder.mkdir(parents=True)
    config = {"sonotype": "0.1.0", "data": data, "fingerprint": fingerprint, "files": {}}
    config["options"] = RunOptions.of({"backbone": "builtin", **options}).flat()
    (folder / "config.json").write_text(json.dumps(config))
    save_predictions(predictions, folder / "predictions.npz")
    scores = scores_to_json(score(predictions, resamples=50, notes=notes))
    (folder / "scores.json").write_text(json.dumps(scores))
    if seconds:
        write_seconds(folder, seconds)
    return folder
