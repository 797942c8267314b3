"""Predictions on labelled clips, from which all scores are computed."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sonotype.core.errors import DataError, DataIssue, OptionsError, SonotypeError
from sonotype.core.hierarchy import CATEGORY_SOURCES, CategorySource, read_hierarchy
from sonotype.core.io import open_saved, replacing
from sonotype.core.json_text import json_text, json_value
from sonotype.core.types import IGNORE_INDEX, Head, Heads, merged_heads
from sonotype.evaluation.npz_file import read_npz

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]

TRUE, PROBA, PRESENT, AGREEMENT = "true.", "proba.", "present.", "agreement."
"""Prefixes of the arrays of a head in a file."""
UNKNOWN = "unknown"

NPZ_ERRORS = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, RuntimeError),  # of encrypted and newer archives
)
"""Errors of reading a damaged or foreign ``.npz``."""


class Decisions(NamedTuple):
    """The most probable class of the clips that have a label of one head.

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
        true: by name of a head ``[n]`` class indices; ``IGNORE_INDEX`` for no label. Of a
            ``"multi"`` head ``[n, classes]``: 1 present, 0 not, ``IGNORE_INDEX`` not known.
        proba: by name of a head ``[n, classes]`` probabilities.
        heads: names of the classes, from coarse to fine.
        unknown: ``[n]`` unknown scores, NaN where not known; ``None`` if the model has none.
        unknown_threshold: score above which a clip counts as unknown; ``None`` likewise.
        present: by name of a ``"multi"`` head ``[n, classes]`` booleans: which classes count as
            present, where thresholds were fitted to other clips; see :meth:`decided`.
        foreign: for each clip of a class that the model does not have its labels, an empty text for
            each other clip; empty if there is no such clip.
        agreement: by name of a ``"single"`` head ``[n]``: share of the nearest clips of other
            recordings that have the label of the clip, NaN where not known; where it was computed.

    Raises:
        ValueError: shapes or indices do not fit together.
    """

    paths: tuple[str, ...]
    groups: tuple[str, ...]
    true: Mapping[str, IntArray]
    proba: Mapping[str, FloatArray]
    heads: Heads
    unknown: FloatArray | None = None
    unknown_threshold: float | None = None
    present: Mapping[str, BoolArray] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    agreement: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self)
        if self.foreign and len(self.foreign) != n:
            raise ValueError(f"{len(self.foreign)} foreign labels for {n} clips")
        if len(self.groups) != n:
            raise ValueError(f"{len(self.groups)} groups for {n} clips")
        names = [head.name for head in self.heads]
        if not set(names) == self.true.keys() == self.proba.keys():
            raise ValueError(f"heads {names}, true of {[*self.true]}, proba of {[*self.proba]}")
        for head in self.heads:
            classes = len(head.classes)
            true, proba = self.true[head.name], self.proba[head.name]
            shape = (n,) if head.problem == "single" else (n, classes)
            if np.shape(true) != shape or not np.issubdtype(true.dtype, np.integer):
                raise ValueError(
                    f"{head.name}: true has shape {np.shape(true)} of {true.dtype}, not {shape} "
                    "integers"
                )
            largest = classes - 1 if head.problem == "single" else 1
            if n and not (true.min() >= IGNORE_INDEX and true.max() <= largest):
                raise ValueError(f"{head.name}: true is outside {IGNORE_INDEX} to {largest}")
            if np.shape(proba) != (n, classes):
                raise ValueError(
                    f"{head.name}: proba has shape {np.shape(proba)}, not {(n, classes)}"
                )

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, category_source: CategorySource = "head") -> dict[str, FloatArray]:
        """Probabilities of all heads, see :func:`sonotype.core.hierarchy.read_hierarchy`.

        Raises:
            OptionsError: ``category_source`` is unknown.
        """
        if category_source not in CATEGORY_SOURCES:
            raise OptionsError(
                f"unknown category_source {category_source!r}: "
                f"choose from {', '.join(CATEGORY_SOURCES)}"
            )
        return read_hierarchy(self.proba, self.heads, category_source)

    def decisions(self, head: str, category_source: CategorySource = "head") -> Decisions:
        """True and most probable class of the clips that have a label of a ``"single"`` head."""
        true, proba = self.true[head], self.read(category_source)[head]
        indices = np.flatnonzero(true != IGNORE_INDEX)
        predicted = proba[indices].argmax(axis=1)
        return Decisions(indices, true[indices], predicted, [self.groups[i] for i in indices])

    def decided(self, head: Head) -> BoolArray:
        """Which classes of a ``"multi"`` head count as present, ``[n, classes]``.

        From :attr:`present`, or else from the thresholds of the head (0.5 where it has none).
        """
        if head.name in self.present:
            return self.present[head.name]
        return np.asarray(self.proba[head.name] >= np.array(head.limits))

    def take(self, which: npt.NDArray[np.bool_] | IntArray) -> Predictions:
        """The predictions of some clips, selected by ``[n]`` booleans or by indices."""
        kept = np.arange(len(self))[which]
        return Predictions(
            tuple(self.paths[index] for index in kept),
            tuple(self.groups[index] for index in kept),
            {name: true[kept] for name, true in self.true.items()},
            {name: proba[kept] for name, proba in self.proba.items()},
            self.heads,
            None if self.unknown is None else self.unknown[kept],
            self.unknown_threshold,
            {name: present[kept] for name, present in self.present.items()},
            tuple(self.foreign[index] for index in kept) if self.foreign else (),
            {name: agreement[kept] for name, agreement in self.agreement.items()},
        )

    @property
    def negative(self) -> npt.NDArray[np.bool_]:
        """``[n]``: whether a clip has no label of any head."""
        return without_label(self.true)

    def require_finite(self) -> None:
        """Refuse predictions that cannot be scored.

        Raises:
            OptionsError: there are no clips.
            SonotypeError: a probability is not finite; names the first such clip.
        """
        if not len(self):
            raise OptionsError("there are no clips to score: choose a split or a fold with clips")
        finite = np.all([np.isfinite(proba).all(axis=1) for proba in self.proba.values()], axis=0)
        if not finite.all():
            raise SonotypeError(
                f"{self.paths[int(np.argmin(finite))]}: the predicted probability is not finite "
                f"({int((~finite).sum())} of {len(self)} clips), training has diverged: train with "
                "a lower learning rate"
            )


def without_label(true: Mapping[str, IntArray]) -> BoolArray:
    """``[n]``: whether a clip has no label of any head.

    Args:
        true: by name of a head, as in :class:`Predictions`.
    """
    unlabelled = [
        target == IGNORE_INDEX if target.ndim == 1 else (target <= 0).all(axis=1)
        for target in true.values()
    ]
    return np.asarray(np.all(unlabelled, axis=0), dtype=bool)


def concatenate(folds: Sequence[Predictions]) -> Predictions:
    """Predictions of several folds in one object; recordings of the same name are one recording.

    Raises:
        OptionsError: no folds, or folds whose labels or heads differ.
    """
    if not folds:
        raise OptionsError("there are no folds to pool: give at least one")
    first = folds[0]
    for number, fold in enumerate(folds[1:], start=2):
        if fold.heads != first.heads:
            raise OptionsError(
                f"fold {number} cannot be pooled with fold 1, {_difference(first, fold)}: train "
                "every fold with the same labels and the same system"
            )
    return Predictions(
        tuple(path for fold in folds for path in fold.paths),
        tuple(group for fold in folds for group in fold.groups),
        {name: np.concatenate([fold.true[name] for fold in folds]) for name in first.true},
        {name: np.concatenate([fold.proba[name] for fold in folds]) for name in first.proba},
        merged_heads([fold.heads for fold in folds]),
        *combined_unknown(folds, np.concatenate),
        {
            head.name: np.concatenate([fold.decided(fold.heads[index]) for fold in folds])
            for index, head in enumerate(first.heads)
            if head.problem == "multi"
        },
    )


def combined_unknown(
    several: Sequence[Predictions], combine: Callable[[list[FloatArray]], FloatArray]
) -> tuple[FloatArray | None, float | None]:
    """The combined unknown scores, and the mean of the thresholds; ``None`` if one has none."""
    scores = [one.unknown for one in several if one.unknown is not None]
    thresholds = [value for one in several if (value := one.unknown_threshold) is not None]
    if len(scores) < len(several) or len(thresholds) < len(several):
        return None, None
    return combine(scores), float(np.mean(thresholds))


def _difference(first: Predictions, other: Predictions) -> str:
    """How the heads of two folds differ."""
    names, others = ({head.name for head in fold.heads} for fold in (first, other))
    if names != others:
        return f"only one of them has the head {min(names ^ others)!r}"
    a, b = ({label for head in fold.heads for label in head.classes} for fold in (first, other))
    return f"only one of them has the label {min(a ^ b)!r}" if a != b else "their labels differ"


def save_predictions(predictions: Predictions, path: Path) -> None:
    """Write an ``.npz`` without pickle; names are stored as JSON.

    Raises:
        OptionsError: the file cannot be written.
    """
    names = {
        "paths": predictions.paths,
        "groups": predictions.groups,
        "heads": [asdict(head) for head in predictions.heads],
        "unknown_threshold": predictions.unknown_threshold,
    }
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "names": np.frombuffer(json_text(names).encode("ascii"), dtype=np.uint8),
        **{f"{TRUE}{name}": true for name, true in predictions.true.items()},
        **{f"{PROBA}{name}": proba for name, proba in predictions.proba.items()},
    }
    arrays |= {f"{PRESENT}{name}": present for name, present in predictions.present.items()}
    arrays |= {f"{AGREEMENT}{name}": shares for name, shares in predictions.agreement.items()}
    if predictions.unknown is not None:
        arrays[UNKNOWN] = predictions.unknown
    with replacing(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def load_predictions(path: Path) -> Predictions:
    """Read a file of :func:`save_predictions`, bit for bit.

    Raises:
        DataError: the file is missing, damaged, or of another kind; also if it claims more memory
            than a file of its size can need, see :mod:`sonotype.evaluation.npz_file`.
    """
    try:
        with open_saved(path) as stream:
            file = read_npz(stream)
        names = json_value(file["names"].tobytes())
        heads = tuple(_head_of(entry) for entry in names["heads"])
        return Predictions(
            tuple(names["paths"]),
            tuple(names["groups"]),
            {head.name: file[f"{TRUE}{head.name}"] for head in heads},
            {head.name: file[f"{PROBA}{head.name}"] for head in heads},
            heads,
            file.get(UNKNOWN),
            names.get("unknown_threshold"),
            {
                head.name: file[f"{PRESENT}{head.name}"]
                for head in heads
                if f"{PRESENT}{head.name}" in file
            },
            agreement={
                head.name: file[f"{AGREEMENT}{head.name}"]
                for head in heads
                if f"{AGREEMENT}{head.name}" in file
            },
        )
    except FileNotFoundError as error:
        raise DataError(path, [DataIssue(str(path), 0, "there is no such file")]) from error
    except NPZ_ERRORS as error:
        cause = f"no predictions file, or damaged: evaluate again ({error})"
        raise DataError(path, [DataIssue(str(path), 0, cause)]) from error


def _head_of(entry: Mapping[str, Any]) -> Head:
    lists = {name: tuple(value) for name, value in entry.items() if isinstance(value, list)}
    return Head(**{**entry, **lists})


def write_csv(
    predictions: Predictions,
    path: Path,
    *,
    category_source: CategorySource = "head",
    top: int = 3,
) -> None:
    """Write a line for each clip: path, group, true label, and the ``top`` most probable labels.

    The columns are ``path, group, category, category_1, category_1_probability, category_2, ...``
    and the same for each other head; ``category_1`` is the predicted category. The
    column ``foreign`` has the labels of clips of foreign classes, if there are such clips.

    Raises:
        OptionsError: the file cannot be written, or ``top`` is less than 1.
    """
    if top < 1:
        raise OptionsError(f"top must be at least 1, got {top}")
    header: list[str] = []
    rows: list[list[str]] = [[] for _ in predictions.paths]
    proba = predictions.read(category_source)
    for head in predictions.heads:
        names, cells = _columns(head, predictions.true[head.name], proba[head.name], top)
        header += names
        rows = [row + more for row, more in zip(rows, cells, strict=True)]
    if predictions.unknown is not None:
        header.append("unknown_score")
        rows = [
            [*row, f"{score:.6f}" if np.isfinite(score) else ""]
            for row, score in zip(rows, predictions.unknown, strict=True)
        ]
    if predictions.foreign:
        header.append("foreign")
        rows = [[*row, name] for row, name in zip(rows, predictions.foreign, strict=True)]
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
    head: Head, true: IntArray, proba: FloatArray, top: int
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of one head."""
    name, labels = head.name, head.classes
    top = min(top, len(labels))
    header = [name]
    multi = head.problem == "multi"
    for rank in range(1, top + 1):
        header += [f"{name}_{rank}", f"{name}_{rank}_probability"]
    order = np.argsort(-proba, axis=1, kind="stable")[:, :top]
    rows = []
    for index, best in enumerate(order):
        if multi:
            row = [";".join(labels[c] for c in np.flatnonzero(true[index] == 1))]
        else:
            row = ["" if true[index] == IGNORE_INDEX else labels[true[index]]]
        for label in best:
            row += [labels[label], f"{proba[index, label]:.6f}"]
        rows.append(row)
    return header, rows
