"""Write scores as text, JSON, CSV and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.core.types import IGNORE_INDEX, Heads
from sonotype.evaluation.calibration import Bin, binary_reliability, reliability
from sonotype.evaluation.event_report import event_report, write_event_csv
from sonotype.evaluation.held_out import change_lines
from sonotype.evaluation.metrics import HeadScores, Scores, scores_to_json
from sonotype.evaluation.plots import (
    plot_confusion,
    plot_history,
    plot_per_class,
    plot_reliability,
)
from sonotype.evaluation.predictions import FloatArray, IntArray, Predictions, write_csv
from sonotype.evaluation.report import render

EVENT_SCORES = "event_scores.csv"
KINDS = {"f1": "F1", "map": "mAP"}
"""Scores of the validation by the end of their names, as the plot names them."""


def outputs_of(heads: Heads) -> list[str]:
    """Files that :func:`write_report` can write, without the training curves."""
    plots = (
        f"plots/{head.name}_{kind}.png"
        for head in heads
        for kind in ("confusion", "f1", "reliability")
        if head.problem == "single" or kind != "confusion"
    )
    return ["scores.json", "scores.txt", "predictions.csv", EVENT_SCORES, *plots]


def write_report(
    scores: Scores,
    predictions: Predictions,
    folder: Path,
    *,
    history: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Write ``scores.json``, ``scores.txt``, ``predictions.csv`` and ``plots/*.png``.

    Args:
        scores: of the predictions.
        predictions: the scored clips.
        folder: created if missing.
        history: lines of a training log, for the training curves.

    Returns:
        The text of ``scores.txt``.
    """
    report = full_report(scores)
    if scores.events is not None:
        write_event_csv(folder / EVENT_SCORES, scores.events)
    write_text(folder / "scores.txt", report)
    write_csv(predictions, folder / "predictions.csv", category_source=scores.category_source)  # type: ignore[arg-type]
    plots = folder / "plots"
    proba = predictions.read(scores.category_source)  # type: ignore[arg-type]
    for name, head in scores.heads.items():
        if head.ranking is None:
            plot_confusion(head, plots / f"{name}_confusion.png", _title(name, scores))
        plot_per_class(head, plots / f"{name}_f1.png", _title(name, scores))
        plot_reliability(
            reliability_bins(head, predictions.true[name], proba[name]),
            plots / f"{name}_reliability.png",
            _title(name, scores),
            several=head.ranking is not None,
        )
    if history:
        plot_history(
            history,
            plots / "training.png",
            title=_title("training", scores),
            scores={"val_f1": f"validation {_validated(history)}"},
        )
    # Written last: this file marks a complete evaluation.
    write_text(folder / "scores.json", json_text(scores_to_json(scores), indent=1) + "\n")
    return report


def reliability_bins(head: HeadScores, true: IntArray, proba: FloatArray) -> list[Bin]:
    """The bins of the reliability diagram of a head.

    Args:
        head: its scores.
        true: of this head, as in :class:`Predictions`.
        proba: ``[n, classes]`` probabilities.
    """
    known = true != IGNORE_INDEX
    if head.ranking is None:
        return reliability(proba[known], true[known])
    return binary_reliability(proba[known], true[known] == 1)


def full_report(scores: Scores) -> str:
    """The scores of clips, the change against training, and the scores of events, if known."""
    text = render(scores)
    if scores.held_out:
        items = "clips" if scores.events is None else "windows"
        text += "\n\n" + "\n".join(change_lines(scores.held_out, items))
    return text if scores.events is None else f"{text}\n\n{event_report(scores.events)}"


def _validated(history: Sequence[Mapping[str, Any]]) -> str:
    """What the validation score is: F1, mAP where clips have several labels, or the mean of both.

    See :mod:`sonotype.training.module`.
    """
    columns = {name for row in history for name in row if name.startswith("val_")} - {"val_f1"}
    kinds = {name.rpartition("_")[2] for name in columns} & {"f1", "map"}
    return " and ".join(title for kind, title in KINDS.items() if kind in (kinds or {"f1"}))


def _title(name: str, scores: Scores) -> str:
    synthetic = any(note.startswith("synthetic") for note in scores.notes)
    return f"{name}{' (synthetic sounds)' if synthetic else ''}"
