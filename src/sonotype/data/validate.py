"""The checks that every source passes, whatever it is read from; all faults come together."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sonotype.audio.special import special_kind
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.types import Clip, Content
from sonotype.data.decoded import Decoded
from sonotype.data.digest import contents_of, united
from sonotype.data.manifest import Manifest
from sonotype.data.records import ClipRecord, Listing, listed, tidy
from sonotype.data.splits.groups import stand_alone

Purpose = Literal["training", "evaluation"]
"""What the clips are for: scoring a finished model also works with one clip of one class."""

RARE_EVENTS = ("error", "unlabel")


@dataclass(frozen=True)
class Rules:
    """How strict the checks are.

    Attributes:
        purpose: ``"evaluation"`` lets one-clip classes, a single category and a single event pass.
        rare_events: ``"error"``, or ``"unlabel"``, which takes the event label off events with a
            single clip; the clip still counts for its category.
        qualify_events: call events that stand under several categories ``category/event``.
        partial: use files that are cut off, by what is there of them.
    """

    purpose: Purpose = "training"
    rare_events: str = "error"
    qualify_events: bool = False
    partial: bool = False

    def __post_init__(self) -> None:
        if self.rare_events not in RARE_EVENTS:
            raise OptionsError(
                f"--rare-events {self.rare_events}: has to be one of {', '.join(RARE_EVENTS)}"
            )


TRAINING = Rules()


def settle(
    listing: Listing, rules: Rules = TRAINING, contents: Mapping[Path, Content] | None = None
) -> Manifest:
    """Make a listing the manifest that it describes.

    Args:
        listing: what the source says.
        rules: how strict the checks are.
        contents: of the files, as far as they are known; identical sounds must have equal labels.

    Raises:
        DataError: with all faults of the source, sorted by file and line.
    """
    rows = apply_rules(listing.rows, rules)
    issues = check_listing(replace(listing, rows=rows), rules)
    issues += label_conflicts(rows, contents or {})
    raise_issues(listing.source, issues)
    root = listing.source if listing.source.is_dir() else listing.source.parent
    clips = [
        Clip(
            path=row.path,
            category=row.category,
            event=row.event or None,
            group=row.group or stand_alone(row.path, root),
            fold=parse_fold(row.fold),
        )
        for row in rows
    ]
    manifest = Manifest(
        name=listing.name,
        clips=tuple(sorted(clips, key=lambda clip: clip.path)),
        grouped=listing.grouped,
        parted=listing.parted,
        synthetic=listing.synthetic,
        licence=listing.licence,
        citation=listing.citation,
        partial=rules.partial,
    )
    return manifest if contents is None else manifest.with_contents(contents)


def raise_issues(source: str | Path, issues: Iterable[DataIssue]) -> None:
    """Raise the faults, if there are any, sorted by file and line."""
    issues = sorted(issues, key=lambda issue: (issue.file, issue.line))
    if issues:
        raise DataError(source, issues)


def apply_rules(rows: Sequence[ClipRecord], rules: Rules) -> tuple[ClipRecord, ...]:
    """The rows with tidy labels, and with events qualified or taken off as the rules say."""
    rows = [replace(row, category=tidy(row.category), event=tidy(row.event)) for row in rows]
    if rules.qualify_events:
        shared = {event for event, homes in _homes(rows).items() if len(homes) > 1}
        rows = [
            replace(row, event=f"{row.category}/{row.event}") if row.event in shared else row
            for row in rows
        ]
    if rules.rare_events == "unlabel":
        clips = Counter(row.event for row in rows)
        rows = [replace(row, event="") if clips[row.event] == 1 else row for row in rows]
    return tuple(rows)


def check_listing(listing: Listing, rules: Rules = TRAINING) -> list[DataIssue]:
    """All faults of a listing: those met while reading it, and those of its rows."""
    issues = list(listing.issues)
    issues += _missing_files(listing.rows)
    issues += _duplicate_files(listing.rows)
    issues += _folds(listing.rows)
    if listing.grouped:
        issues += [
            row.issue("no group, while other clips have one")
            for row in listing.rows
            if not row.group
        ]
    if listing.labelled:
        issues += _labels(listing.rows)
        issues += _events_under_two_categories(listing.rows)
        if rules.purpose == "training":
            issues += _one_clip_classes(listing.rows)
            issues += _single_category(listing)
            issues += _single_event(listing)
    if not listing.rows and not issues:
        issues.append(DataIssue(str(listing.source), 0, "no clips"))
    return issues


def parse_fold(text: str) -> int | None:
    """The fold in a cell, ``None`` for an empty one; a ``ValueError`` where it is no whole number.

    ``2.0`` counts as 2: that is what tables become once a program has held them as floats.
    """
    text = text.strip()
    if not text:
        return None
    whole, point, rest = text.partition(".")
    if point and rest.strip("0"):
        raise ValueError(text)
    return int(whole)


def check_sounds(manifest: Manifest, *, progress: bool = False) -> Manifest:
    """Decode every clip once, a block at a time, and give the manifest with the clips' contents.

    Groups that share a sound are one group in it. Memory is bounded however long the clips are.

    Raises:
        DataError: with one fault for each clip that is missing, empty, truncated (unless the
            manifest is ``partial``) or no sound, and for each that has the sound of another clip
            under other labels.
    """
    decoded = Decoded()
    contents, issues = contents_of(
        [clip.path for clip in manifest.clips],
        decoded=decoded,
        partial=manifest.partial,
        progress=progress,
    )
    rows = [ClipRecord(clip.path, clip.category, clip.event or "") for clip in manifest.clips]
    raise_issues(manifest.name, [*issues, *label_conflicts(rows, contents)])
    return manifest.with_contents(contents, decoded)


def label_conflicts(
    rows: Sequence[ClipRecord], contents: Mapping[Path, Content]
) -> Iterator[DataIssue]:
    """Rows with the sound of an earlier row under another category or event.

    An event that is not known contradicts no other.
    """
    known = [row for row in rows if row.path in contents and row.category]
    earlier: defaultdict[int, dict[tuple[str, str], ClipRecord]] = defaultdict(dict)
    for sound, row in zip(
        united([contents[row.path].digests for row in known]), known, strict=True
    ):
        for other in earlier[sound].values():
            kind, theirs, ours = "category", other.category, row.category
            if theirs == ours and other.event and row.event:
                kind, theirs, ours = "event", other.event, row.event
            if theirs != ours and not _same_file(other.path.resolve(), row.path.resolve()):
                yield row.issue(
                    f"the same sound as {other.path}, which has the {kind} {theirs!r}, not "
                    f"{ours!r}; correct one label, or remove one file"
                )
                break
        earlier[sound].setdefault((row.category, row.event), row)


def without_event(clips: Iterable[Clip]) -> dict[str, int]:
    """Clips without an event label, counted by category; empty where no clip has an event label.

    This is information, not a fault: a model answers such a category from its category head.
    """
    clips = tuple(clips)
    if all(clip.event is None for clip in clips):
        return {}
    counts = Counter(clip.category for clip in clips if clip.event is None)
    return dict(sorted(counts.items()))


def _missing_files(rows: Iterable[ClipRecord]) -> Iterator[DataIssue]:
    for row in rows:
        if "\0" in str(row.path):  # the operating system would not even take the question
            yield row.issue("not a file name")
        elif os.path.isdir(row.path):  # noqa: PTH112 (of a name that is too long, too)
            yield row.issue("a folder, not a file") if row.text else row.issue("empty path")
        elif kind := special_kind(row.path):
            yield row.issue(f"{kind}, not a file")
        elif not os.path.exists(row.path):  # noqa: PTH110
            link = os.path.islink(row.path)  # noqa: PTH114
            yield row.issue("a link to nothing" if link else "no such file")


def _duplicate_files(rows: Iterable[ClipRecord]) -> Iterator[DataIssue]:
    """Rows whose file has been listed before, be it under another spelling of its path."""
    seen: defaultdict[str, list[tuple[Path, ClipRecord]]] = defaultdict(list)
    for row in rows:
        if "\0" in str(row.path) or os.path.isdir(row.path):  # noqa: PTH112
            continue
        path = row.path.resolve()
        # Names that differ in case are one file on some file systems and two on others.
        earlier = seen[str(path).casefold()]
        twin = next((other for known, other in earlier if _same_file(known, path)), None)
        if twin is None:
            earlier.append((path, row))
        else:
            where = f"line {twin.line}" if twin.line else str(twin.path)
            yield row.issue(f"the same file as {where}")


def _same_file(one: Path, other: Path) -> bool:
    if one == other:
        return True
    there = os.path.exists(one) and os.path.exists(other)  # noqa: PTH110
    return there and os.path.samefile(one, other)  # noqa: PTH121


def _folds(rows: Sequence[ClipRecord]) -> Iterator[DataIssue]:
    some = any(row.fold.strip() for row in rows)
    for row in rows:
        if some and not row.fold.strip():
            yield row.issue("no fold, while other clips have one")
            continue
        try:
            parse_fold(row.fold)
        except ValueError:
            yield row.issue(f"the fold has to be a whole number, not {row.fold!r}")


def _labels(rows: Iterable[ClipRecord]) -> Iterator[DataIssue]:
    for row in rows:
        if not row.category:
            yield row.issue("empty category")
        for label in (row.category, row.event):
            # File names that are not UTF-8 come as text that no file can hold.
            if label.encode("utf-8", "replace").decode() != label:
                yield row.issue(f"the label {label!a} is not valid text; rename it")


def _homes(rows: Iterable[ClipRecord]) -> dict[str, dict[str, ClipRecord]]:
    """For each event the categories it stands under, each with its first row."""
    homes: defaultdict[str, dict[str, ClipRecord]] = defaultdict(dict)
    for row in rows:
        if row.event and row.category:
            homes[row.event].setdefault(row.category, row)
    return homes


def _events_under_two_categories(rows: Iterable[ClipRecord]) -> Iterator[DataIssue]:
    for event, homes in _homes(rows).items():
        if len(homes) > 1:
            second = list(homes.values())[1]
            yield second.issue(
                f"event {event!r} stands under {len(homes)} categories: "
                f"{'; '.join(f'{name} ({_place(row)})' for name, row in homes.items())}; rename "
                f"it, or pass --qualify-events to call them "
                f"{' and '.join(f'{name}/{event}' for name in homes)}"
            )


def _place(row: ClipRecord) -> str:
    return f"line {row.line}" if row.line else row.path.name


def _one_clip_classes(rows: Iterable[ClipRecord]) -> Iterator[DataIssue]:
    categories: defaultdict[str, list[ClipRecord]] = defaultdict(list)
    events: defaultdict[str, list[ClipRecord]] = defaultdict(list)
    for row in rows:
        categories[row.category].append(row)
        events[row.event].append(row)
    for name, members in categories.items():
        if name and len(members) == 1:
            yield members[0].issue(
                f"category {name!r} has this one clip only; training and test need at least two"
            )
    for name, members in events.items():
        if name and len(members) == 1 and len(categories[members[0].category]) > 1:
            yield members[0].issue(
                f"event {name!r} has this one clip only; training and test need at least two "
                "(--rare-events unlabel keeps such clips for their category)"
            )


def _single_category(listing: Listing) -> Iterator[DataIssue]:
    names = sorted({row.category for row in listing.rows if row.category})
    if len(names) == 1:
        cause = f"only one category, {listed(map(repr, names))}; a classifier needs at least two"
        yield DataIssue(str(listing.source), 0, cause)


def _single_event(listing: Listing) -> Iterator[DataIssue]:
    names = sorted({row.event for row in listing.rows if row.event})
    if len(names) == 1:
        cause = f"only one event, {names[0]!r}; give two or more, or leave the event out"
        yield DataIssue(str(listing.source), 0, cause)
