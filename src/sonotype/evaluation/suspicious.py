"""Labels that are probably wrong, from predictions by models that were not trained on the clips.

Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty in dataset labels" (2021). A
clip probably belongs to class j where its probability of j is at least the mean probability of j
over the clips that are labelled j. A clip whose only such classes differ from its label is
suspicious.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sonotype.core.io import replacing
from sonotype.core.types import IGNORE_INDEX
from sonotype.evaluation.predictions import Predictions

SUSPICIOUS = "suspicious_labels.csv"
COLUMNS = ("path", "level", "label", "suggested", "probability", "probability_suggested")


@dataclass(frozen=True)
class SuspiciousLabel:
    """A label that is probably wrong.

    Attributes:
        path: the sound file.
        level: name of the head.
        label: the given label.
        suggested: the most probable class.
        probability: of the given label.
        probability_suggested: of the most probable class.
    """

    path: str
    level: str
    label: str
    suggested: str
    probability: float
    probability_suggested: float


def suspicious_labels(predictions: Predictions) -> list[SuspiciousLabel]:
    """The suspicious labels of all ``"single"`` heads, the most suspicious first.

    Args:
        predictions: of clips that the models were not trained on.
    """
    found = []
    for head in predictions.heads:
        if head.problem == "multi":
            continue
        true, proba = predictions.true[head.name], predictions.proba[head.name]
        indices = np.flatnonzero(true != IGNORE_INDEX)
        typical = np.full(len(head.classes), np.inf)
        for index in np.unique(true[indices]):
            typical[index] = proba[true == index, index].mean()
        for clip in indices:
            confident = np.flatnonzero(proba[clip] >= typical)
            if not len(confident) or true[clip] in confident:
                continue
            best = int(confident[proba[clip, confident].argmax()])
            if best == proba[clip].argmax():
                found.append(
                    SuspiciousLabel(
                        predictions.paths[clip],
                        head.name,
                        head.classes[true[clip]],
                        head.classes[best],
                        float(proba[clip, true[clip]]),
                        float(proba[clip, best]),
                    )
                )
    return sorted(found, key=lambda one: one.probability - one.probability_suggested)


def write_suspicious(path: Path, labels: Sequence[SuspiciousLabel]) -> None:
    """Write the labels as CSV."""
    write_labels(path, COLUMNS, ([getattr(one, name) for name in COLUMNS] for one in labels))


def write_labels(path: Path, columns: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table of labels as CSV; file names keep bytes that are not UTF-8.

    Raises:
        OptionsError: the file cannot be written.
    """
    with (
        replacing(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([f"{x:.4f}" if isinstance(x, float) else x for x in row])
