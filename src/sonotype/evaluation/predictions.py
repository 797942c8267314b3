"""What a model answered on labelled clips: the one thing that scores are computed from."""

from __future__ import annotations

import csv
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sonotype.core.errors import DataError, DataIssue, OptionsError, SonotypeError
from sonotype.core.hierarchy import CATEGORY_SOURCES, CategorySource, read_category
from sonotype.core.io import replacing
from sonotype.core.json_text import json_text
from sonotype.core.types import IGNORE_INDEX, Labels, labels_of_all

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.floating]

DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged or foreign ``.npz`` can raise."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Truth and answer for each of ``n`` clips.

    Attributes:
        paths: the sound files, as they are to be shown.
        groups: the recording that each clip belongs to; intervals resample these.
        category_true: ``[n]`` indices into ``labels.categories``.
        event_true: ``[n]`` indices into ``labels.events``, ``IGNORE_INDEX`` where a clip has none.
        category_probability: ``[n, categories]`` softmax of the category head.
        event_probability: ``[n, events]`` softmax of the event head, ``None`` without that head.
        labels: the names behind the indices.

    Raises:
        ValueError: the parts do not fit together.

    """

    paths: tuple[str, ...]
    groups: tuple[str, ...]
    category_true: IntArray
    event_true: IntArray
    category_probability: FloatArray
    event_probability: FloatArray | None
    labels: Labels

    def __post_init__(self) -> None:
        n, categories, events = (
            len(self.paths),
            len(self.labels.categories),
            len(self.labels.events),
        )
        wanted: dict[str, tuple[int, ...]] = {
            "groups": (n,),
            "category_true": (n,),
            "event_true": (n,),
            "category_probability": (n, categories),
            "event_probability": (n, events),
        }
        for name, shape in wanted.items():
            value = getattr(self, name)
            if name == "event_probability" and value is None:
                continue
            found = np.shape(value)
            if found != shape:
                raise ValueError(f"{name} of the answers has shape {found}, not {shape}")
        _check_indices("category_true", self.category_true, 0, categories)
        _check_indices("event_true", self.event_true, IGNORE_INDEX, events)

    def __len__(self) -> int:
        return len(self.paths)

    def category(self, how: CategorySource = "head") -> FloatArray:
        """``[n, categories]`` probabilities, see :func:`sonotype.core.hierarchy.read_category`.

        Raises:
            OptionsError: ``how`` is not a known way.

        """
        if how not in CATEGORY_SOURCES:
            raise OptionsError(
                f"category_source {how!r} is not known: choose one of {', '.join(CATEGORY_SOURCES)}"
            )
        return read_category(self.category_probability, self.event_probability, self.labels, how)

    def take(self, which: npt.NDArray[np.bool_] | IntArray) -> Predictions:
        """The answers for some clips only, chosen by ``[n]`` booleans or by indices."""
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


def _check_indices(name: str, values: IntArray, low: int, high: int) -> None:
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name} of the answers is {values.dtype}, not integers")
    if values.size and not (low <= values.min() and values.max() < high):
        raise ValueError(f"{name} of the answers goes beyond {low} to {high - 1}")


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Answers of several folds as one, in their order; a recording in two of them is one group.

    Raises:
        OptionsError: no parts, or parts whose labels or heads differ.

    """
    if not parts:
        raise OptionsError("there are no folds to pool: give at least one")
    first = parts[0]
    for number, part in enumerate(parts[1:], start=2):
        if part.labels != first.labels:
            raise OptionsError(
                f"fold {number} cannot be pooled with fold 1, {_label_difference(first, part)}: "
                "train every fold with the labels of the whole data set"
            )
        if (part.event_probability is None) != (first.event_probability is None):
            raise OptionsError(
                f"fold {number} cannot be pooled with fold 1, only one of them has an event head: "
                "train every fold with the same system"
            )
    events = [part.event_probability for part in parts if part.event_probability is not None]
    return Predictions(
        tuple(path for part in parts for path in part.paths),
        tuple(group for part in parts for group in part.groups),
        np.concatenate([part.category_true for part in parts]),
        np.concatenate([part.event_true for part in parts]),
        np.concatenate([part.category_probability for part in parts]),
        np.concatenate(events) if events else None,
        labels_of_all([part.labels for part in parts]),
    )


def _label_difference(first: Predictions, other: Predictions) -> str:
    a = {*first.labels.categories, *first.labels.events}
    b = {*other.labels.categories, *other.labels.events}
    if a == b:
        return "their labels are in another order"
    return f"only one of them knows the label {min(a ^ b)!r}"


def save_predictions(answers: Predictions, path: Path) -> None:
    """Write the answers as an ``.npz`` without pickle; the names go into it as JSON.

    Raises:
        OptionsError: the file cannot be written there.

    """
    labels = answers.labels
    names = {
        "paths": answers.paths,
        "groups": answers.groups,
        "categories": labels.categories,
        "events": labels.events,
        "event_category": labels.event_category,
        "event_less": labels.event_less,
    }
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "names": np.frombuffer(json_text(names).encode("ascii"), dtype=np.uint8),
        "category_true": answers.category_true,
        "event_true": answers.event_true,
        "category_probability": answers.category_probability,
    }
    if answers.event_probability is not None:
        arrays["event_probability"] = answers.event_probability
    with replacing(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def load_predictions(path: Path) -> Predictions:
    """Read what :func:`save_predictions` wrote, bit for bit.

    Raises:
        DataError: the file is missing, damaged, or holds something else.

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
    except DAMAGE as error:
        cause = f"not a file of saved answers, or damaged: evaluate again ({error})"
        raise DataError(path, [DataIssue(str(path), 0, cause)]) from error


def write_csv(
    answers: Predictions, path: Path, *, category_source: CategorySource = "head", top: int = 3
) -> None:
    """Write a row a clip: file, group, truth, and the ``top`` labels with their probabilities.

    The columns are ``path, group, category, category_1, category_1_probability, category_2, ...``
    and the same for ``event`` where the model has that head; ``category_1`` is the prediction.

    Raises:
        OptionsError: the file cannot be written there, or ``top`` is less than 1.

    """
    if top < 1:
        raise OptionsError(f"top is {top}: the table shows at least 1 label")
    columns = [
        _columns(
            "category",
            answers.labels.categories,
            answers.category_true,
            answers.category(category_source),
            top,
        )
    ]
    if answers.event_probability is not None:
        columns.append(
            _columns(
                "event", answers.labels.events, answers.event_true, answers.event_probability, top
            )
        )
    header = ["path", "group", *(name for names, _ in columns for name in names)]
    # File names that are no UTF-8 come from the system as surrogates and go back as their bytes.
    with (
        replacing(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(header)
        for index, (name, group) in enumerate(zip(answers.paths, answers.groups, strict=True)):
            writer.writerow([name, group, *(cell for _, rows in columns for cell in rows[index])])


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
        truth = int(true[index])
        row = ["" if truth == IGNORE_INDEX else labels[truth]]
        for label in best:
            row += [labels[label], f"{probability[index, label]:.6f}"]
        rows.append(row)
    return header, rows


def refuse_unusable(answers: Predictions) -> None:
    """Refuse answers that no score can be told from.

    Raises:
        OptionsError: there are no clips.
        SonotypeError: a probability is not a finite number; names the first such clip.

    """
    if not len(answers):
        raise OptionsError("there are no clips to score: choose a part or a fold that has some")
    finite = np.isfinite(answers.category_probability).all(axis=1)
    if answers.event_probability is not None:
        finite &= np.isfinite(answers.event_probability).all(axis=1)
    if not finite.all():
        first = answers.paths[int(np.argmin(finite))]
        raise SonotypeError(
            f"{first}: the model's answer is not a finite number, as after training that went "
            f"astray ({int((~finite).sum())} of {len(answers)} clips): train with a lower "
            "learning rate"
        )
