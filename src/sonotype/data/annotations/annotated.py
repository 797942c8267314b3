"""Annotated recordings of a folder or a table: find the label files, read, pair and check them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sonotype.core.annotations import AnnotatedRecording
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.text import counted
from sonotype.data.annotations.check import (
    Label,
    Marked,
    check_recording,
    folds_of,
    identities,
    label_variants,
)
from sonotype.data.annotations.entries import LabelFile, Row
from sonotype.data.annotations.label_file import (
    SUFFIXES,
    names_recordings,
    read_label_file,
    recognise_labels,
)
from sonotype.data.annotations.pairing import RecordingFinder, RecordingsByName
from sonotype.data.annotations.spans import SpanTable, read_spans
from sonotype.data.file_names import Names
from sonotype.data.readers.esc50 import is_esc50
from sonotype.data.readers.msos import LOG_SHEETS, find_log_sheets
from sonotype.data.readers.table import find_metadata
from sonotype.data.records import is_sound, nfc
from sonotype.data.splits.groups import compile_pattern, group_of, stand_alone
from sonotype.data.validate import raise_issues

ANNOTATIONS = ("annotations.csv", "annotations.parquet")
"""Names of a table of all events in a folder; where there is one, no other label file is read."""

ANNOTATED = ("labels", "whole")
"""Which parts were listened to: from the first to the last label, or all of a recording."""

_NO_LABELS = ("spans", "empty", "unknown")


@dataclass(frozen=True)
class AnnotatedListing:
    """Annotated recordings as they were read.

    Attributes:
        source: the folder or file, named in error messages.
        name: short name of the data.
        recordings: sorted by path.
        issues: all of them; a recording with issues may be missing, or lack events.
        unlabelled: recordings of a folder without a label file; they are not used.
        grouped: whether the groups come from a column or a pattern.
    """

    source: Path
    name: str
    recordings: tuple[AnnotatedRecording, ...]
    issues: tuple[DataIssue, ...] = ()
    unlabelled: tuple[Path, ...] = ()
    grouped: bool = False


def read_annotated(
    path: str | Path,
    *,
    label_column: str | None = None,
    annotated: str = "labels",
    group_pattern: str | None = None,
) -> AnnotatedListing:
    """Read annotated recordings; the arguments are those of :func:`list_annotated`.

    Raises:
        DataError: with all issues, sorted by file and line.
        MissingExtraError: a Parquet table without pyarrow.
        OptionsError: as there.
    """
    listing = list_annotated(
        path, label_column=label_column, annotated=annotated, group_pattern=group_pattern
    )
    raise_issues(listing.source, listing.issues)
    return listing


def is_annotated(path: Path) -> bool:
    """Whether a path holds annotated recordings, and not clips with one label each.

    A folder with ``annotations.csv``, or in which a recording is paired with a label file; a label
    table with a column of recordings; a label file beside its recording. At most the beginning of a
    file is read, except for a table in a folder that names recordings.
    """
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES or path.name in LOG_SHEETS.values():
            return False
        if recognise_labels(path) in _NO_LABELS:
            return False
        return names_recordings(path) or bool(_beside(path))
    if not path.is_dir() or is_esc50(path) or find_log_sheets(path):
        return False
    if _annotations(path):
        return True
    if find_metadata(path) != path:
        return False
    finder = RecordingFinder(path)
    by_name = RecordingsByName(finder.sounds)
    for file in _candidates(finder):
        if recognise_labels(file) not in _NO_LABELS:
            if by_name.find(file):
                return True
            rows = _rows(read_label_file(file)) if names_recordings(file) else ()
            if any(isinstance(finder.find(row.recording, file), Path) for row in rows[:1]):
                return True
    return False


def list_annotated(
    path: str | Path,
    *,
    label_column: str | None = None,
    annotated: str = "labels",
    group_pattern: str | None = None,
) -> AnnotatedListing:
    """Read annotated recordings with all their issues.

    Args:
        path: a folder of recordings and label files, or a label file.
        label_column: the column with the labels, or the tier of a TextGrid; by default one with a
            usual name.
        annotated: the parts that were listened to: ``"labels"`` (from the first to the last label
            of a recording; all of it if its label file has no label), ``"whole"``, or a table (CSV
            or Parquet) of path, start and end.
        group_pattern: regular expression over file names for recordings that belong together; see
            :mod:`sonotype.data.splits.groups`.

    Raises:
        DataError: there is no such path.
        MissingExtraError: a Parquet table without pyarrow.
        OptionsError: an invalid pattern; a pattern for a table with a column of groups; no table of
            the parts that were listened to.
    """
    path = Names().find(Path(path))
    if not os.path.exists(path):  # noqa: PTH110 (of a name that is too long, too)
        raise DataError(path, [DataIssue(str(path), 0, "no such file or folder")])
    pattern = None if group_pattern is None else compile_pattern(group_pattern)
    spans = _span_table(annotated)
    folder = path.is_dir()
    finder = RecordingFinder(path if folder else path.parent)
    if folder:
        files, issues = _of_folder(path, finder, label_column, spans)
    else:
        files, issues = _of_file(path, label_column)
    marked, unknown = _marked(files, finder)
    issues += unknown
    issues += label_variants(marked)
    groups, wrong_groups = identities(marked, "group")
    folds, wrong_folds = folds_of(marked)
    issues += [*wrong_groups, *wrong_folds]
    if groups and pattern is not None:
        raise OptionsError(f"--group-pattern: {path} has a column of groups already")
    listened: str | SpanTable = annotated
    if spans is not None:
        listened = read_spans(spans, finder, [recording.path for recording in marked])
        issues += listened.issues
        issues += _without_spans(marked, listened)
    recordings = []
    for one in marked:
        group = groups.get(one.path) or stand_alone(one.path, finder.root)
        if pattern is not None:
            matched = group_of(one.path.name, pattern)
            group = matched or group
            if matched is None:
                cause = f"the name does not match --group-pattern {group_pattern!r}"
                issues.append(DataIssue(str(one.path), 0, cause))
        recording, found = check_recording(one, listened)
        issues += found
        if recording is not None:
            recordings.append(replace(recording, group=group, fold=folds.get(one.path)))
    used = {one.path for one in marked}
    if not marked and not issues:
        cause = "no recording with a label file; see the formats in docs/annotations.md"
        issues.append(DataIssue(str(path), 0, cause))
    return AnnotatedListing(
        source=path,
        name=path.resolve().name if folder else path.stem,
        recordings=tuple(sorted(recordings, key=lambda recording: recording.path)),
        issues=tuple(issues),
        unlabelled=tuple(sound for sound in finder.sounds if sound not in used) if folder else (),
        grouped=bool(groups) or pattern is not None,
    )


def _span_table(annotated: str) -> Path | None:
    """The table of the parts that were listened to, if there is one."""
    if annotated in ANNOTATED:
        return None
    table = Path(annotated)
    if not os.path.isfile(table):  # noqa: PTH113 (of a name that is too long, too)
        raise OptionsError(
            f"annotated is {annotated!r}, but must be {' or '.join(map(repr, ANNOTATED))}, or the "
            "path of a table with the columns path, start, end; there is no such file"
        )
    return table


def _annotations(folder: Path) -> Path | None:
    """The table of all events in a folder."""
    for name in ANNOTATIONS:
        table = folder / name
        if table.is_file() and recognise_labels(table) not in ("empty", "unknown"):
            return table
    return None


def _candidates(finder: RecordingFinder) -> Iterator[Path]:
    """Texts below a folder with the suffix of a label file."""
    for folder in finder.walked.folders:
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue  # an issue of the walk
        for entry in entries:
            suffix = entry.suffix.lower()
            if suffix in SUFFIXES and suffix != ".parquet" and not entry.name.startswith("."):
                yield entry


def _beside(file: Path) -> list[Path]:
    """The recording of a label file in its folder; several if they fit equally."""
    sounds = [entry for entry in sorted(file.parent.iterdir()) if is_sound(entry)]
    return RecordingsByName(sounds).find(file)


Paired = tuple[LabelFile, Path | None]
"""A label file, and its recording unless its rows name recordings."""


def _of_file(path: Path, label_column: str | None) -> tuple[list[Paired], list[DataIssue]]:
    file = read_label_file(path, label_column)
    return _paired(file, [] if file.by_column else _beside(path))


def _of_folder(
    folder: Path, finder: RecordingFinder, label_column: str | None, spans: Path | None
) -> tuple[list[Paired], list[DataIssue]]:
    """All label files of a folder, and the issues of reading and pairing them."""
    table = _annotations(folder)
    if table is not None:
        file = read_label_file(table, label_column)
        return [(file, None)] if file.by_column else [], list(file.issues) or _no_column(table)
    issues = [DataIssue(str(path), 0, cause) for path, cause in finder.walked.broken]
    by_name = RecordingsByName(finder.sounds)
    files: list[Paired] = []
    for path in _candidates(finder):
        if spans is not None and os.path.samefile(path, spans):  # noqa: PTH121
            continue
        kind, found = recognise_labels(path), by_name.find(path)
        looks = _looks_like_labels(path) or (found and path.suffix.lower() != ".csv")
        if (kind == "unknown" and not looks) or (kind in ("spans", "empty") and not found):
            continue
        paired, wrong = _paired(read_label_file(path, label_column), found)
        files += paired
        issues += wrong
    return files, issues


def _no_column(table: Path) -> list[DataIssue]:
    cause = "no column for the recording (path, file, filename, ...); add it"
    return [] if names_recordings(table) else [DataIssue(str(table), 1, cause)]


def _looks_like_labels(path: Path) -> bool:
    """Whether a name is that of a label file of a program, whatever its content is."""
    name = nfc(path.name).casefold()
    known = (".textgrid", ".selections.txt", ".audacity.txt", ".selection.table.txt")
    return name.endswith(known) or ".birdnet.results." in name


def _paired(file: LabelFile, found: Sequence[Path]) -> tuple[list[Paired], list[DataIssue]]:
    """A label file with its recording, or the issue that there is no or more than one."""
    issues = list(file.issues)
    if issues and not file.entries and not file.others:
        return [], issues  # not a label file, or without a column of labels
    if file.by_column:
        return [(file, None)], issues
    if len(found) == 1:
        return [(file, found[0])], issues
    if found:
        both = " and ".join(map(str, found))
        cause = f"could belong to {both}; put the full name of the recording before its suffix, "
        cause += f"such as {found[0].name}{file.path.suffix}"
        issues.append(DataIssue(str(file.path), 0, cause))
    else:
        cause = "a label file without a recording of its name; add the recording, rename the label "
        cause += "file after it, or remove it"
        issues.append(DataIssue(str(file.path), 0, cause))
    return [], issues


def _rows(file: LabelFile) -> list[Row]:
    """All rows of a label file in their order."""
    rows = [*(entry.row for entry in file.entries), *file.others]
    return sorted(rows, key=lambda row: row.line)


def _marked(
    files: Iterable[Paired], finder: RecordingFinder
) -> tuple[list[Marked], list[DataIssue]]:
    """The recordings of label files, and the issues of recordings that are not there."""
    marked: dict[Path, Marked] = {}
    issues: list[DataIssue] = []
    for file, recording in files:
        homes: dict[str, Path] = {}
        if recording is None:
            homes, unknown = _homes(file, finder)
            issues += unknown
        else:
            marked.setdefault(recording, Marked(recording))
        for row in _rows(file):
            home = recording or homes.get(row.recording)
            if home is not None:
                marked.setdefault(home, Marked(home)).rows.append((file.path, row))
        for entry in file.entries:
            home = recording or homes.get(entry.row.recording)
            if home is not None:
                marked[home].labels.append(Label(file.path, entry, file.padded))
    return sorted(marked.values(), key=lambda one: one.path), issues


def _homes(file: LabelFile, finder: RecordingFinder) -> tuple[dict[str, Path], list[DataIssue]]:
    """The recordings that a table names, by their names in the table."""
    rows: dict[str, list[Row]] = {}
    for row in _rows(file):
        if row.recording:
            rows.setdefault(row.recording, []).append(row)
    homes: dict[str, Path] = {}
    issues: list[DataIssue] = []
    for name, named in rows.items():
        found = finder.find(name, file.path)
        if isinstance(found, Path):
            homes[name] = found
        else:
            more = f" (in {counted(len(named), 'row')})" if len(named) > 1 else ""
            issues.append(DataIssue(str(file.path), named[0].line, f"{name}: {found}{more}"))
    return homes, issues


def _without_spans(marked: Iterable[Marked], table: SpanTable) -> Iterator[DataIssue]:
    for one in marked:
        if one.path not in table.rows:
            cause = f"{one.path.name}: has labels, but no row; add its start and end"
            yield DataIssue(str(table.path), 0, cause)
