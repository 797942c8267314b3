"""The parts of recordings that were listened to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sonotype.core.errors import DataIssue
from sonotype.data.annotations.columns import ALIASES, match_columns, read_any_table
from sonotype.data.annotations.entries import ROUNDING, Entry, seconds
from sonotype.data.annotations.pairing import RecordingFinder

Spans = tuple[tuple[float, float], ...]


def merged(spans: Iterable[tuple[float, float]]) -> Spans:
    """The union of intervals: sorted, and disjoint."""
    union: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if union and start <= union[-1][1]:
            union[-1] = union[-1][0], max(end, union[-1][1])
        else:
            union.append((start, end))
    return tuple(union)


def spans_of_labels(entries: Iterable[Entry], length: float) -> Spans:
    """From the first to the last label; the whole recording if there is no label."""
    entries = tuple(entries)
    if not entries:
        return ((0.0, length),)
    first = min(entry.start for entry in entries)
    return ((min(first, length), min(length, max(entry.end for entry in entries))),)


def within(start: float, end: float, spans: Spans) -> tuple[float, float] | None:
    """An interval cut to the span that it lies in; ``None`` if it exceeds every span.

    Excesses by a rounding are cut off.
    """
    for first, last in spans:
        if first - ROUNDING <= start and end <= last + ROUNDING:
            inside = max(start, first), min(end, last)
            if inside[0] < inside[1]:
                return inside
    return None


@dataclass(frozen=True)
class SpanTable:
    """A table of the parts that were listened to: by recording the start, end and line of each."""

    path: Path
    rows: Mapping[Path, tuple[tuple[float, float, int], ...]]
    issues: tuple[DataIssue, ...]

    def spans(self, recording: Path, length: float) -> Spans:
        """The spans of a recording, within its length."""
        rows = self.rows.get(recording, ())
        return merged((start, min(end, length)) for start, end, _ in rows if start < length)

    def beyond(self, recording: Path, length: float) -> Iterator[DataIssue]:
        """Issues of spans that exceed the recording by more than a rounding."""
        for _, end, line in self.rows.get(recording, ()):
            if end > length + ROUNDING:
                cause = f"{recording.name}: the span ends at {end:g} s"
                cause += f", but the recording has {length:.3f} s; correct the end"
                yield DataIssue(str(self.path), line, cause)


def read_spans(path: Path, finder: RecordingFinder, recordings: Iterable[Path]) -> SpanTable:
    """Read a table of recording, start and end (CSV or Parquet).

    Args:
        path: the table.
        finder: of the recordings that it names.
        recordings: that have labels; others are issues.
    """
    table = read_any_table(path)
    aliases = {ours: ALIASES[ours] for ours in ("recording", "start", "end")}
    columns = match_columns(table.header, aliases, required=aliases)
    issues = columns.issues(path, table)
    known = set(recordings)
    rows: defaultdict[Path, list[tuple[float, float, int]]] = defaultdict(list)
    for record in table.records if not columns.causes else ():
        text = {ours: columns.cell(record.cells, ours) for ours in aliases}
        causes = []
        found = finder.find(text["recording"], path) if text["recording"] else "empty name"
        if isinstance(found, str):
            causes.append(f"{text['recording']}: {found}" if text["recording"] else found)
        elif found not in known:
            causes.append(f"{text['recording']}: has no label file; add it, or remove the row")
        start, end = seconds(text["start"]), seconds(text["end"])
        for name, value in (("start", start), ("end", end)):
            if value is None:
                causes.append(f"the {name} is {text[name]!r}, not a number; write seconds")
        if start is not None and start < 0:
            causes.append(f"the start is {start:g} s; a recording begins at 0")
        if start is not None and end is not None and end <= start:
            causes.append(f"the span ends at {end:g} s, not after its start, {start:g} s")
        issues += [DataIssue(str(path), record.line, cause) for cause in causes]
        if isinstance(found, Path) and start is not None and end is not None:
            rows[found].append((start, end, record.line))
    return SpanTable(path, {key: tuple(found) for key, found in rows.items()}, tuple(issues))
