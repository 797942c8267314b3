"""Predictions on labelled clips, from which all scores are computed."""

from __future__ import annotations

import csv
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sonotype.core.errors import DataError, DataIssue, OptionsError, SonotypeError
from sonotype.core.hierarchy import CATEGORY_SOURCES, CategorySource, read_category
from sonotype.core.io import replacing
from sonotype.core.json_text import json_text
from sonotype.core.types import IGNORE_INDEX, Labels, labels_of_all

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.floating]
Level = Literal["category", "event"]

NPZ_ERRORS = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)
"""Errors of reading a damaged or foreign ``.npz``."""


class Decisions(NamedTuple):
    """The most probable class of the clips that have a label on one level.

    Attributes:
        indices: ``[n]`` of the clips among the predictions.
        true: ``[n]`` class indices.
        predicted: ``[n]`` class indices.
        groups: ``n`` recordings.
    """

    indices: IntArray
    true: IntArray
    predicted: IntArray
    groups: list[str]


@dataclass(frozen=True, eq=False)
class Predictions:
    """True labels and predicted probabilities of ``n`` clips.

    Attributes:
        paths: the sound files, as shown to the user.
        groups: the recording of each clip; confidence intervals resample recordings.
        category_true: ``[n]`` indices into ``labels.categories``.
        event_true: ``[n]`` indices into ``labels.events``; ``IGNORE_INDEX`` for no event label.
        category_probability: ``[n, categories]`` softmax of the category head.
        event_probability: ``[n, events]`` softmax of the event head; ``None`` without that head.
        labels: names of the indices.

    Raises:
        ValueError: shapes or indices do not fit together.
    """

    paths: tuple[str, ...]
    groups: tuple[str, ...]
    category_true: IntArray
    event_true: IntArray
    category_probability: FloatArray
    event_probability: FloatArray | None
    labels: Labels

    def __post_init__(self) -> None:
        n, categories, events = len(self), len(self.labels.categories), len(self.labels.events)
        shapes: dict[str, tuple[int, ...]] = {
            "groups": (n,),
            "category_true": (n,),
            "event_true": (n,),
            "category_probability": (n, categories),
            "event_probability": (n, events),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and (found := np.shape(value)) != shape:
                raise ValueError(f"{name} of the predictions has shape {found}, not {shape}")
        _check_indices("category_true", self.category_true, 0, categories)
        _check_indices("event_true", self.event_true, IGNORE_INDEX, events)

    def __len__(self) -> int:
        return len(self.paths)

    def category(self, category_source: CategorySource = "head") -> FloatArray:
        """``[n, categories]`` probabilities, see :func:`sonotype.core.hierarchy.read_category`.

        Raises:
            OptionsError: ``category_source`` is unknown.
        """
        if category_source not in CATEGORY_SOURCES:
            raise OptionsError(
                f"unknown category_source {category_source!r}: "
                f"choose from {', '.join(CATEGORY_SOURCES)}"
            )
        return read_category(
            self.category_probability, self.event_probability, self.labels, category_source
        )

    def decisions(self, level: Level, category_source: CategorySource = "head") -> Decisions:
        """True and most probable class of the clips that can be scored on a level."""
        if level == "category":
            true, probability = self.category_true, self.category(category_source)
        elif self.event_probability is None:
            true, probability = np.full(len(self), IGNORE_INDEX), np.zeros((len(self), 1))
        else:
            true, probability = self.event_true, self.event_probability
        indices = np.flatnonzero(true != IGNORE_INDEX)
        predicted = probability[indices].argmax(axis=1)
        return Decisions(indices, true[indices], predicted, [self.groups[i] for i in indices])

    def take(self, which: npt.NDArray[np.bool_] | IntArray) -> Predictions:
        """The predictions of some clips, selected by ``[n]`` booleans or by indices."""
        kept = np.arange(len(self))[which]
        event = self.event_probability
        return Predictions(
            tuple(self.paths[index] for index in kept),
            tuple(self.groups[index] for index in kept),
            self.category_true[kept],
            self.event_true[kept],
            self.category_probability[kept],
            None if event is None else event[kept],
            self.labels,
        )

    def require_finite(self) -> None:
        """Refuse predictions that cannot be scored.

        Raises:
            OptionsError: there are no clips.
            SonotypeError: a probability is not finite; names the first such clip.
        """
        if not len(self):
            raise OptionsError("there are no clips to score: choose a split or a fold with clips")
        finite = np.isfinite(self.category_probability).all(axis=1)
        if self.event_probability is not None:
            finite &= np.isfinite(self.event_probability).all(axis=1)
        if not finite.all():
            raise SonotypeError(
                f"{self.paths[int(np.argmin(finite))]}: the predicted probability is not finite "
                f"({int((~finite).sum())} of {len(self)} clips), training has diverged: train with "
                "a lower learning rate"
            )


def _check_indices(name: str, values: IntArray, low: int, high: int) -> None:
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name} of the predictions is {values.dtype}, not integers")
    if values.size and not (low <= values.min() and values.max() < high):
        raise ValueError(f"{name} of the predictions is outside {low} to {high - 1}")


def concatenate(folds: Sequence[Predictions]) -> Predictions:
    """Predictions of several folds in one object; recordings of the same name are one recording.

    Raises:
        OptionsError: no folds, or folds whose labels or heads differ.
    """
    if not folds:
        raise OptionsError("there are no folds to pool: give at least one")
    first = folds[0]
    for number, fold in enumerate(folds[1:], start=2):
        if fold.labels != first.labels:
            cause = f"{_label_difference(first, fold)}: train every fold with all labels"
        elif (fold.event_probability is None) != (first.event_probability is None):
            cause = "only one of them has an event head: train every fold with the same system"
        else:
            continue
        raise OptionsError(f"fold {number} cannot be pooled with fold 1, {cause}")
    events = [fold.event_probability for fold in folds if fold.event_probability is not None]
    return Predictions(
        tuple(path for fold in folds for path in fold.paths),
        tuple(group for fold in folds for group in fold.groups),
        np.concatenate([fold.category_true for fold in folds]),
        np.concatenate([fold.event_true for fold in folds]),
        np.concatenate([fold.category_probability for fold in folds]),
        np.concatenate(events) if events else None,
        labels_of_all([fold.labels for fold in folds]),
    )


def _label_difference(first: Predictions, other: Predictions) -> str:
    a = {*first.labels.categories, *first.labels.events}
    b = {*other.labels.categories, *other.labels.events}
    if a == b:
        return "their labels are in another order"
    return f"only one of them has the label {min(a ^ b)!r}"


def save_predictions(predictions: Predictions, path: Path) -> None:
    """Write an ``.npz`` without pickle; names are stored as JSON.

    Raises:
        OptionsError: the file cannot be written.
    """
    labels = predictions.labels
    names = {
        "paths": predictions.paths,
        "groups": predictions.groups,
        "categories": labels.categories,
        "events": labels.events,
        "event_category": labels.event_category,
        "event_less": labels.event_less,
    }
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "names": np.frombuffer(json_text(names).encode("ascii"), dtype=np.uint8),
        "category_true": predictions.category_true,
        "event_true": predictions.event_true,
        "category_probability": predictions.category_probability,
    }
    if predictions.event_probability is not None:
        arrays["event_probability"] = predictions.event_probability
    with replacing(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def load_predictions(path: Path) -> Predictions:
    """Read a file of :func:`save_predictions`, bit for bit.

    Raises:
        DataError: the file is missing, damaged, or of another kind.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = json.loads(file["names"].tobytes())
            return Predictions(
                tuple(names["paths"]),
                tuple(names["groups"]),
                file["category_true"],
                file["event_true"],
                file["category_probability"],
                file.get("event_probability"),
                Labels(
                    tuple(names["categories"]),
                    tuple(names["events"]),
                    tuple(names["event_category"]),
                    tuple(names.get("event_less", ())),  # not in files of older versions
                ),
            )
    except FileNotFoundError as error:
        raise DataError(path, [DataIssue(str(path), 0, "there is no such file")]) from error
    except NPZ_ERRORS as error:
        cause = f"no predictions file, or damaged: evaluate again ({error})"
        raise DataError(path, [DataIssue(str(path), 0, cause)]) from error


def write_csv(
    predictions: Predictions,
    path: Path,
    *,
    category_source: CategorySource = "head",
    top: int = 3,
) -> None:
    """Write a line for each clip: path, group, true label, and the ``top`` most probable labels.

    The columns are ``path, group, category, category_1, category_1_probability, category_2, ...``
    and the same for ``event`` with an event head; ``category_1`` is the predicted category.

    Raises:
        OptionsError: the file cannot be written, or ``top`` is less than 1.
    """
    if top < 1:
        raise OptionsError(f"top must be at least 1, got {top}")
    labels, events = predictions.labels, predictions.event_probability
    category = predictions.category(category_source)
    header, rows = _columns("category", labels.categories, predictions.category_true, category, top)
    if events is not None:
        more = _columns("event", labels.events, predictions.event_true, events, top)
        header += more[0]
        rows = [row + other for row, other in zip(rows, more[1], strict=True)]
    # File names that are not UTF-8 are decoded with surrogates and encoded back to their bytes.
    with (
        replacing(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(["path", "group", *header])
        for name, group, row in zip(predictions.paths, predictions.groups, rows, strict=True):
            writer.writerow([name, group, *row])


def _columns(
    name: str, labels: Sequence[str], true: IntArray, probability: FloatArray, top: int
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of one head."""
    top = min(top, len(labels))
    header = [name]
    for rank in range(1, top + 1):
        header += [f"{name}_{rank}", f"{name}_{rank}_probability"]
    order = np.argsort(-probability, axis=1, kind="stable")[:, :top]
    rows = []
    for index, best in enumerate(order):
        row = ["" if true[index] == IGNORE_INDEX else labels[true[index]]]
        for label in best:
            row += [labels[label], f"{probability[index, label]:.6f}"]
        rows.append(row)
    return header, rows
