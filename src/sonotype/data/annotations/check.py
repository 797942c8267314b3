"""Checks of all recordings and their labels, and the recordings that result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sonotype.audio.decode import seconds_of
from sonotype.audio.stream import stated_seconds
from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.errors import AudioError, DataIssue
from sonotype.data.annotations.entries import ROUNDING, Entry, Row
from sonotype.data.annotations.spans import SpanTable, spans_of_labels, within
from sonotype.data.readers.label_sets import SEPARATOR
from sonotype.data.records import is_negative
from sonotype.data.validate import parse_fold

SAME = 0.002
"""Seconds by which the times of one event in two label files may differ."""

OVERLAP = 0.005
"""Seconds by which two events of one label may overlap, as edges of adjacent events are rounded."""


@dataclass(frozen=True)
class Label:
    """An entry and its label file; ``padded`` as there."""

    file: Path
    entry: Entry
    padded: bool = False

    @property
    def place(self) -> str:
        """The place in a message."""
        return f"{self.file}:{self.entry.row.line}"

    def issue(self, cause: str) -> DataIssue:
        """An issue of this label."""
        text = f"{self.entry.label!r} {cause}"
        return DataIssue(str(self.file), self.entry.row.line, text)

    @property
    def negative(self) -> bool:
        """Whether the label is that of no class."""
        return is_negative(self.entry.label)


@dataclass
class Marked:
    """A recording and what its label files say: its labels, and all rows of tables that name it."""

    path: Path
    labels: list[Label] = field(default_factory=list)
    rows: list[tuple[Path, Row]] = field(default_factory=list)


def length_of(path: Path) -> float:
    """Length of a recording in seconds, by its header if that says it.

    Raises:
        AudioError: it cannot be read.
    """
    return stated_seconds(path) or seconds_of(path)


def check_recording(
    marked: Marked, annotated: str | SpanTable
) -> tuple[AnnotatedRecording | None, list[DataIssue]]:
    """Check the labels of a recording, and put them together.

    Args:
        marked: the recording.
        annotated: ``"labels"``, ``"whole"``, or the table of the parts that were listened to.
    """
    try:
        length = length_of(marked.path)
    except AudioError as error:
        return None, [DataIssue(str(marked.path), 0, error.cause)]
    if not length > 0:
        return None, [DataIssue(str(marked.path), 0, "has no samples; replace the recording")]
    issues = [*_beyond(marked.labels, length), *_separators(marked.labels)]
    kept, twice = _once(marked.labels)
    issues += twice
    issues += _overlaps(label for label in kept if not label.negative)
    if isinstance(annotated, SpanTable):
        spans = annotated.spans(marked.path, length)
        issues += annotated.beyond(marked.path, length)
    elif annotated == "whole":
        spans = ((0.0, length),)
    else:
        spans = spans_of_labels((label.entry for label in kept), length)
    events = []
    for label in kept:
        entry = label.entry
        inside = within(entry.start, min(entry.end, length), spans)
        if inside is None:
            if isinstance(annotated, SpanTable) and entry.start < length:
                cause = f"is from {entry.start:g} to {entry.end:g} s, outside of the spans in "
                cause += f"{annotated.path}; correct the label or the spans"
                issues.append(label.issue(cause))
        elif not label.negative:
            events.append(
                Event(*inside, entry.label, entry.low, entry.high, str(label.file), entry.row.line)
            )
    events.sort(key=lambda event: (event.start, event.end, event.label))
    return AnnotatedRecording(marked.path, length, tuple(events), spans), issues


def _beyond(labels: Iterable[Label], length: float) -> Iterator[DataIssue]:
    for label in labels:
        entry = label.entry
        there = f"but the recording has {length:.3f} s; correct the label, or the recording"
        if entry.start >= length:
            yield label.issue(f"begins at {entry.start:g} s, {there}")
        elif entry.end > length + ROUNDING and not label.padded:
            yield label.issue(f"ends at {entry.end:g} s, {there}")


def _separators(labels: Iterable[Label]) -> Iterator[DataIssue]:
    for label in labels:
        if SEPARATOR in label.entry.label:
            yield label.issue(
                f"has a {SEPARATOR!r}, which separates labels in tables; give each label an event "
                "of its own, or rename it"
            )


def _once(labels: Iterable[Label]) -> tuple[list[Label], list[DataIssue]]:
    """Each event once: the copies in other files are left out, those in one file are issues.

    Of the copies the first one with frequencies stays.
    """
    files: defaultdict[Path, list[Label]] = defaultdict(list)
    for label in labels:
        files[label.file].append(label)
    issues: list[DataIssue] = []
    different: list[Label] = []
    for found in files.values():
        kept: list[Label] = []
        for label in _in_order(found):
            copies = [kept[place] for place in _copies(kept, label.entry)]
            if copies:
                lines = sorted((copies[0].entry.row.line, label.entry.row.line))
                cause = f"is twice in the file, in lines {lines[0]} and {lines[1]}; remove one"
                issues.append(
                    DataIssue(str(label.file), lines[1], f"{label.entry.label!r} {cause}")
                )
            else:
                kept.append(label)
        different += kept
    merged: list[Label] = []
    for label in _in_order(different):
        place = next(_copies(merged, label.entry), None)
        if place is None:
            merged.append(label)
        elif merged[place].entry.low is None and label.entry.low is not None:
            merged[place] = label
    return merged, issues


def _in_order(labels: Iterable[Label]) -> list[Label]:
    """By label and start, as :func:`_copies` needs them."""
    return sorted(labels, key=lambda label: (label.entry.label, label.entry.start))


def _copies(kept: Sequence[Label], entry: Entry) -> Iterator[int]:
    """The places of events with the label and the times of an entry, up to a rounding."""
    for place in range(len(kept) - 1, -1, -1):
        other = kept[place].entry
        if other.label != entry.label or other.start < entry.start - SAME:
            return
        if abs(other.end - entry.end) <= SAME:
            yield place


def _overlaps(labels: Iterable[Label]) -> Iterator[DataIssue]:
    """Issues of events that begin before an earlier event of their label ends."""
    last: dict[str, Label] = {}
    for label in sorted(labels, key=lambda label: (label.entry.start, label.entry.end)):
        entry = label.entry
        earlier = last.get(entry.label)
        if earlier is not None and entry.start < earlier.entry.end - OVERLAP:
            times = f"from {earlier.entry.start:g} to {earlier.entry.end:g} s"
            cause = f"from {entry.start:g} to {entry.end:g} s overlaps the event {times} of "
            yield label.issue(f"{cause}{earlier.place}; join them, or correct the times")
        if earlier is None or entry.end > earlier.entry.end:
            last[entry.label] = label


def label_variants(recordings: Iterable[Marked]) -> Iterator[DataIssue]:
    """Issues of labels that differ from another label by case or blanks only, in any file."""
    first: dict[str, Label] = {}
    known: dict[str, Label] = {}
    labels = [label for marked in recordings for label in marked.labels if not label.negative]
    for label in sorted(labels, key=lambda label: (str(label.file), label.entry.row.line)):
        if label.entry.label in known:
            continue
        known[label.entry.label] = label
        other = first.setdefault("".join(label.entry.label.casefold().split()), label)
        if other is not label:
            cause = f"differs by case or blanks only from {other.entry.label!r} at {other.place}"
            yield label.issue(f"{cause}; use one spelling")


def identities(recordings: Sequence[Marked], name: str) -> tuple[dict[Path, str], list[DataIssue]]:
    """The group or the fold of each recording, as text; empty if no table has the column.

    Args:
        recordings: with the rows that name them.
        name: ``"group"`` or ``"fold"``.
    """
    values: dict[Path, str] = {}
    issues: list[DataIssue] = []
    for marked in recordings:
        found: defaultdict[str, list[tuple[Path, Row]]] = defaultdict(list)
        for file, row in marked.rows:
            if text := (row.group if name == "group" else row.fold).strip():
                found[text].append((file, row))
        if found:
            values[marked.path] = next(iter(found))
        if len(found) > 1:
            (_, (first, *_)), (text, ((file, row), *_)), *_ = found.items()
            cause = f"{marked.path.name}: {name} {text!r}, but {next(iter(found))!r} at "
            cause += f"{first[0]}:{first[1].line}; a recording has one {name}"
            issues.append(DataIssue(str(file), row.line, cause))
    if values:
        for marked in recordings:
            if marked.path not in values:
                cause = f"no {name}, while other recordings have one"
                issues.append(DataIssue(str(marked.path), 0, cause))
    return values, issues


def folds_of(recordings: Sequence[Marked]) -> tuple[dict[Path, int | None], list[DataIssue]]:
    """The official fold of each recording that has one."""
    texts, issues = identities(recordings, "fold")
    folds: dict[Path, int | None] = {}
    for path, text in texts.items():
        try:
            folds[path] = parse_fold(text)
        except ValueError:
            cause = f"the fold has to be a whole number, not {text!r}"
            issues.append(DataIssue(str(path), 0, cause))
    return folds, issues
