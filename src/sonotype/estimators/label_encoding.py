"""y of a classifier for scikit-learn as names of classes, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from sonotype.core.errors import ModelFileError
from sonotype.core.types import Head, Problem

LABELS = "labels"
"""Key of the classes in the training entry of a model file."""

_KINDS: dict[str, Any] = {
    "int": int,
    "float": float,
    "bool": lambda name: {"True": True, "False": False}[name],
    "str": str,
}
_KIND_OF = {"i": "int", "u": "int", "f": "float", "b": "bool"}

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class EncodedLabels:
    """Labels of sounds.

    Attributes:
        classes: ``[classes]`` as y has them, sorted; of several-label y one for each column.
        labels: for each sound the names of its classes.
        problem: ``"multi"`` if a sound can have any number of labels.
    """

    classes: Array
    labels: tuple[tuple[str, ...], ...]
    problem: Problem

    def to_json(self) -> dict[str, Any]:
        """The classes as a model file keeps them; it knows names only."""
        kind = _KIND_OF.get(self.classes.dtype.kind, "str")
        return {"kind": kind, "classes": list(map(str, self.classes))}


def encode_labels(y: Any) -> EncodedLabels:
    """The labels in y.

    Args:
        y: ``[sounds]`` texts or whole numbers; or ``[sounds, classes]``, 1 for a class that is
            present and 0 for one that is not.

    Raises:
        ValueError: no y, missing or continuous values, several outputs, or a single class.
    """
    if y is None:
        raise ValueError(
            "SoundClassifier requires y to be passed, but the target y is None: give one label a "
            "sound"
        )
    columns = getattr(y, "columns", None)
    values = y.toarray() if hasattr(y, "tocsr") else np.asarray(y)
    if values.ndim == 2 and values.shape[1] > 1:
        return _indicators(values, columns)
    if values.ndim > 2:
        raise ValueError(f"y has shape {values.shape}, must be [sounds] or [sounds, classes]")
    values = column_or_1d(values, warn=True)
    # An array of a list of texts would make a text of a missing value.
    for index, label in enumerate(y if isinstance(y, list | tuple) else values.tolist()):
        if label is None or label != label:
            raise ValueError(f"y[{index}] is {label!r}: Input y contains NaN; give its label")
        if isinstance(label, str) and not label.strip():
            raise ValueError(f"y[{index}] is {label!r}, an empty label; give its label")
        if label in (np.inf, -np.inf):
            raise ValueError(f"y[{index}] is {label!r}: Input y contains infinity")
    check_classification_targets(values)
    classes = np.unique(values)
    if len(classes) < 2:
        found = f"one class ({str(classes[0])!r})" if len(classes) else "no labels"
        raise ValueError(f"y has {found}; a classifier needs at least 2 classes")
    names = [str(label) for label in values]
    _check_names(classes)
    return EncodedLabels(classes, tuple((name,) for name in names), "single")


def classes_of(training: Mapping[str, Any], head: Head) -> Array:
    """The classes in the order of the columns of an estimator.

    Args:
        training: entry of a model card.
        head: of the model.

    Raises:
        ModelFileError: the entry does not fit the head.
    """
    entry = training.get(LABELS)
    if entry is None:  # a model of ``sonotype train``
        return np.array(head.classes)
    try:
        names = entry["classes"]
        found = np.array([_KINDS[entry["kind"]](name) for name in names])
        if set(head.classes) - set(names) or list(map(str, found)) != names:
            raise ValueError
        _check_names(found)
    except (KeyError, TypeError, ValueError):
        raise ModelFileError(
            f"the header does not describe a model (training.{LABELS} does not fit its classes)"
        ) from None
    return found


def _indicators(values: Array, columns: Any) -> EncodedLabels:
    kind = type_of_target(values, input_name="y")
    if kind != "multilabel-indicator":
        raise ValueError(
            f"y has shape {values.shape} and is {kind}; give one label a sound, or a matrix of 0 "
            "and 1 with a column for each class"
        )
    classes = np.arange(values.shape[1]) if columns is None else np.array(list(map(str, columns)))
    _check_names(classes)
    if not values.any():
        raise ValueError("y has no 1: no sound has a class, so there is nothing to learn")
    labels = tuple(tuple(map(str, classes[row.astype(bool)])) for row in values)
    return EncodedLabels(classes, labels, "multi")


def _check_names(classes: Array) -> None:
    """A ``ValueError`` if two classes have one name in the model file."""
    [(name, count)] = Counter(map(str, classes)).most_common(1)
    if count > 1:
        raise ValueError(f"y has two classes that are written {name!r}; rename one")
