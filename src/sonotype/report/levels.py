"""What the page shows of each level of labels: headline, classes, confusions with their clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sonotype.core.types import IGNORE_INDEX, Head, plural
from sonotype.data.readers.label_sets import SEPARATOR
from sonotype.evaluation.calibration import Bin
from sonotype.evaluation.metrics import ClassScore, HeadScores, Interval
from sonotype.evaluation.predictions import FloatArray, Predictions
from sonotype.evaluation.write_report import reliability_bins
from sonotype.report.run_record import RunRecord

MOST_CLASSES = 80
"""Classes of the confusion matrix; of more, those with the most confusions are shown."""
MOST_CLIPS = 200
"""Clips that a cell of the confusion matrix, or a class with several labels, lists."""
PAIRS = 8
"""Largest confusions that are listed below the matrix."""


@dataclass(frozen=True)
class ClassRow:
    """One class in the table of classes.

    Attributes:
        index: in the labels of the level.
        label: its name.
        trained: clips of the class that the model was trained on; ``None`` if not known.
        score: ``None`` if it was not scored, or no scored clip has the class.
        confused: index of the class that it is most often taken for; ``None`` if there is none.
        confused_clips: how often.
        missed: several labels: clips in which the class was not found.
        false_alarms: several labels: clips without the class in which it was found.
        best: index of the clip whose label is the most probable; ``None`` if there is none.
    """

    index: int
    label: str
    trained: int | None
    score: ClassScore | None
    confused: int | None = None
    confused_clips: int = 0
    missed: int = 0
    false_alarms: int = 0
    best: int | None = None


@dataclass(frozen=True)
class Level:
    """One level of labels.

    Attributes:
        name: of the head.
        plural: several labels of the level.
        multi: whether a clip can have several labels of this level.
        labels: all classes.
        classes: the rows of the table of classes.
        scores: ``None`` if there are none.
        shown: indices of the classes in the confusion matrix.
        cells: indices of clips by ``true * classes + predicted``, the least probable label first;
            several labels: ``2 * class`` for missed sounds, ``2 * class + 1`` for false alarms.
        bins: of the reliability diagram.
    """

    name: str
    plural: str
    multi: bool
    labels: tuple[str, ...]
    classes: tuple[ClassRow, ...]
    scores: HeadScores | None = None
    shown: tuple[int, ...] = ()
    cells: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    bins: tuple[Bin, ...] = ()

    @property
    def right(self) -> int:
        """Clips whose class is recognised."""
        scores = self.scores
        return 0 if scores is None else sum(row[n] for n, row in enumerate(scores.confusion))

    @property
    def mistakes(self) -> int:
        """Clips with another class; several labels: missed and falsely found classes."""
        if self.multi:
            return sum(row.missed + row.false_alarms for row in self.classes)
        return 0 if self.scores is None else self.scores.n - self.right

    @property
    def recognised(self) -> Interval:
        """The share of recognised clips; several labels: the mean share of found sounds."""
        scores = self.scores
        if scores is None:
            raise ValueError(f"level {self.name} has no scores")
        return scores.recall if self.multi else scores.accuracy

    @property
    def pairs(self) -> list[tuple[int, int, int]]:
        """The largest confusions: clips, true and predicted class."""
        found = [
            (count, true, other)
            for true, row in enumerate(self.scores.confusion if self.scores else ())
            for other, count in enumerate(row)
            if count and true != other
        ]
        return sorted(found, key=lambda pair: (-pair[0], pair[1], pair[2]))[:PAIRS]


def levels_of(record: RunRecord) -> tuple[Level, ...]:
    """The levels of a run, from coarse to fine."""
    scores = record.scores
    source = scores.category_source if scores else "head"
    proba = record.predictions.read(source) if record.predictions else {}  # type: ignore[arg-type]
    return tuple(
        _level(record, head, scores.heads.get(head.name) if scores else None, proba)
        for head in record.heads
    )


def _level(
    record: RunRecord, head: Head, scores: HeadScores | None, proba: Mapping[str, FloatArray]
) -> Level:
    known = head.name in record.levels
    trained = trained_clips(record.rows, head) if known else None
    multi = head.problem == "multi"
    rows = tuple(
        ClassRow(index, label, trained.get(label, 0) if trained is not None else None, None)
        for index, label in enumerate(head.classes)
    )
    level = Level(head.name, plural(head.name), multi, head.classes, rows, scores)
    if scores is None:
        return level
    predictions = record.predictions
    cells: Mapping[int, tuple[int, ...]] = {}
    best: Mapping[int, int] = {}
    bins: tuple[Bin, ...] = ()
    if predictions is not None:
        find = _cells_of_several if multi else _cells
        cells, best = find(predictions, head, proba[head.name])
        bins = tuple(reliability_bins(scores, predictions.true[head.name], proba[head.name]))
    classes = tuple(_class_row(row, scores, cells, best, multi=multi) for row in rows)
    shown = () if multi else _shown(scores)
    cells = {key: clips[:MOST_CLIPS] for key, clips in cells.items()}
    return Level(
        head.name, plural(head.name), multi, head.classes, classes, scores, shown, cells, bins
    )


def trained_clips(rows: Iterable[Mapping[str, str]], head: Head) -> Counter[str]:
    """Training clips of each class, from the rows of ``split.csv``."""
    cells = [row[head.name] for row in rows if row["subset"] == "train"]
    if head.problem == "multi":  # a label of a single-label level may contain the separator
        cells = [label for cell in cells for label in cell.split(SEPARATOR)]
    return Counter(filter(None, cells))


def _class_row(
    row: ClassRow,
    scores: HeadScores,
    cells: Mapping[int, tuple[int, ...]],
    best: Mapping[int, int],
    *,
    multi: bool,
) -> ClassRow:
    index, entry = row.index, scores.per_class[row.index]
    score = entry if entry.support else None
    typical = best.get(index)
    if multi:
        missed, alarms = (len(cells.get(2 * index + kind, ())) for kind in (0, 1))
        return ClassRow(
            index, row.label, row.trained, score,
            missed=missed, false_alarms=alarms, best=typical,
        )  # fmt: skip
    others = [
        (count, -other) for other, count in enumerate(scores.confusion[index]) if other != index
    ]
    count, other = max(others, default=(0, 0))
    confused = -other if count else None
    return ClassRow(index, row.label, row.trained, score, confused, count, best=typical)


def _cells(
    predictions: Predictions, head: Head, proba: FloatArray
) -> tuple[dict[int, tuple[int, ...]], dict[int, int]]:
    """The clips of each cell, and the most typical clip of each class."""
    true = predictions.true[head.name]
    clips = np.flatnonzero(true != IGNORE_INDEX)
    given = proba[clips, true[clips]]
    order = np.argsort(given, kind="stable")
    cells: dict[int, list[int]] = {}
    best: dict[int, int] = {}
    for clip in clips[order].tolist():
        label, predicted = int(true[clip]), int(proba[clip].argmax())
        cells.setdefault(label * len(head.classes) + predicted, []).append(clip)
        if label == predicted:
            best[label] = clip
    return {key: tuple(found) for key, found in cells.items()}, best


def _cells_of_several(
    predictions: Predictions, head: Head, proba: FloatArray
) -> tuple[dict[int, tuple[int, ...]], dict[int, int]]:
    """The clips in which each class was missed or falsely found, and the most typical clip."""
    true, decided = predictions.true[head.name], predictions.decided(head)
    cells, best = {}, {}
    for index in range(len(head.classes)):
        column = proba[:, index]
        missed = np.flatnonzero((true[:, index] == 1) & ~decided[:, index])
        alarms = np.flatnonzero((true[:, index] == 0) & decided[:, index])
        cells[2 * index] = tuple(missed[np.argsort(column[missed], kind="stable")].tolist())
        cells[2 * index + 1] = tuple(alarms[np.argsort(-column[alarms], kind="stable")].tolist())
        found = np.flatnonzero((true[:, index] == 1) & decided[:, index])
        if len(found):
            best[index] = int(found[column[found].argmax()])
    return cells, best


def _shown(scores: HeadScores) -> tuple[int, ...]:
    """Indices of the classes in the confusion matrix."""
    confusion = np.array(scores.confusion).reshape(len(scores.labels), -1)
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")
    return tuple(sorted(order[:MOST_CLASSES].tolist()))
