"""Decisions about the labels of a run's clips, and the corrected table that they make.

The decisions are kept beside the table, so that a review can be interrupted. Neither the sounds nor
the tables or folders that the run was trained on are changed.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sonotype.core.csv_file import saved_rows
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.io import replacing
from sonotype.core.types import Clip, Heads
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.splits.split_file import SPLIT, file_name, read_split
from sonotype.experiments.run_folder import CONFIG, absolute, config_of_folder

CORRECTED = "corrected_labels.csv"
"""The table in the run folder."""
NEGATIVE = "unknown"
"""Category in the table of sounds of no class."""

Choice = Literal["keep", "relabel", "drop"]


@dataclass(frozen=True)
class Decision:
    """What was decided about the label of a clip.

    Attributes:
        path: absolute path of the sound.
        level: of the label.
        label: as it was.
        choice: keep it, give the clip another label, or drop the clip from the table.
        new_label: after ``"relabel"``, else empty.
    """

    path: str
    level: str
    label: str
    choice: Choice
    new_label: str = ""


def decisions_file(table: Path) -> Path:
    """Where the decisions are that a table was made from: ``NAME.decisions.csv`` beside it."""
    return table.with_name(f"{table.stem}.decisions.csv")


def reviewed_clips(folder: Path, names: Iterable[str]) -> tuple[Manifest, dict[str, Clip]]:
    """The clips that a run was made from, and those of some names in its predictions.

    Args:
        folder: of the run.
        names: of clips, as in the predictions: relative to the working directory of the training.

    Raises:
        DataError: the data cannot be read, or have other clips than the run.
        OptionsError: the run cannot be read, or its clips are windows of annotated recordings.
    """
    data, options = config_of_folder(folder)
    manifest = open_source(data, options.source)
    if manifest.recordings:
        raise OptionsError(
            "--review needs clips, and this run has windows of annotated recordings: list the "
            "suspects without --review, and correct the label files"
        )
    found = {clip.name: clip for clip in manifest.clips}
    missing = set(names) - found.keys()
    if missing:
        # The data were named by another path, so the same clips have other prefixes.
        rows = [row["path"] for row in read_split(folder / SPLIT)]
        same = [file_name(row) for row in rows] == [file_name(c.name) for c in manifest.clips]
        found = dict(zip(rows, manifest.clips, strict=True)) if same else {}
        if missing := set(names) - found.keys():
            cause = f"not in the data any more ({data}): train again before the review"
            raise DataError(folder / CONFIG, [DataIssue(one, 0, cause) for one in sorted(missing)])
    return manifest, found


def read_decisions(path: Path) -> dict[str, Decision]:
    """Decisions by path of the sound; none if there is no such file.

    Raises:
        OptionsError: it is another table, or cannot be read.
    """
    try:
        rows = saved_rows(path, "a table of the decisions of a review")
    except FileNotFoundError:
        return {}
    names = [field.name for field in dataclasses.fields(Decision)]
    for row in rows:
        if [*row] != names or row["choice"] not in get_args(Choice):
            raise OptionsError(f"{path} holds no decisions of a review: name another --out")
    found = [Decision(**row) for row in rows]  # type: ignore[arg-type]  # checked above
    return {one.path: one for one in found}


def write_decisions(path: Path, decisions: Mapping[str, Decision]) -> None:
    """Write the decisions.

    Raises:
        OptionsError: the file cannot be written.
    """
    names = [field.name for field in dataclasses.fields(Decision)]
    rows = [[getattr(one, name) for name in names] for one in decisions.values()]
    _write_rows(path, [names, *rows])


def write_corrected(
    path: Path, manifest: Manifest, heads: Heads, decisions: Mapping[str, Decision]
) -> None:
    """Write the clips with their corrected labels as a table for ``train``.

    Decisions about other labels than those of the clips do not count.

    Args:
        path: of the table.
        manifest: the clips as they were.
        heads: with the parents of the classes.
        decisions: by path of the sound.

    Raises:
        OptionsError: the file cannot be written.
    """
    levels = [head.name for head in manifest.heads]
    folds = bool(manifest.folds)
    header = ["path", *levels, *(["group"] * manifest.grouped), *(["fold"] * folds)]
    rows: list[list[str]] = [header]
    for clip in manifest.clips:
        labels = {level: clip.label(level) or "" for level in levels}
        if not any(labels.values()):
            labels[levels[0]] = NEGATIVE
        decision = decisions.get(absolute(clip.path))
        if decision and labels.get(decision.level) == decision.label:
            if decision.choice == "drop":
                continue
            if decision.choice == "relabel":
                labels = labels_with_parents(heads, decision.level, decision.new_label)
        row = [absolute(clip.path), *(labels.get(level, "") for level in levels)]
        row += [clip.group] * manifest.grouped
        row += ["" if clip.fold is None else str(clip.fold)] * folds
        rows.append(row)
    _write_rows(path, rows)


def labels_with_parents(heads: Heads, level: str, label: str) -> dict[str, str]:
    """A label and those of the coarser levels that it belongs to."""
    by_name = {head.name: head for head in heads}
    labels = {}
    while True:
        labels[level] = label
        head = by_name[level]
        if head.parent is None:
            return labels
        parent = by_name[head.parent]
        label = parent.classes[head.parent_index[head.classes.index(label)]]
        level = parent.name


def _write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    with (
        replacing(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        csv.writer(stream, lineterminator="\n").writerows(rows)
