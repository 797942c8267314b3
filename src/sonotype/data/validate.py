"""Validation of a listing, for every kind of source; all issues are reported at once."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sonotype.audio.special import special_kind
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.io import is_folder, is_link
from sonotype.core.types import Clip, Content, level_depth, level_name, plural
from sonotype.data.decoded import Decoded
from sonotype.data.digest import contents_of, united
from sonotype.data.manifest import Manifest
from sonotype.data.readers.label_sets import SEPARATOR, similar_labels, with_label_sets
from sonotype.data.records import ClipRecord, Listing, is_negative, normalise_label
from sonotype.data.splits.groups import stand_alone

Purpose = Literal["training", "crossfit", "evaluation"]
"""What the clips are for: evaluation also accepts a single clip of a class."""

RARE_EVENTS = ("error", "unlabel")


@dataclass(frozen=True)
class Rules:
    """How strict the checks are.

    Attributes:
        purpose: ``"crossfit"`` accepts classes with one clip, and a single category beside sounds
            of no class; ``"evaluation"`` accepts a single category or event in any case.
        rare_events: ``"error"`` reports events (and labels of finer levels) with a single clip;
            ``"unlabel"`` removes such a label and keeps the clip for the level above.
        qualify_events: rename events that are in several categories to ``category/event``, and
            labels of finer levels in the same way.
        partial: use truncated files.
        classes: of a model that is scored; these names never stand for sounds of no class.
        problem: ``"multi"``: any number of classes can be present in a clip.
    """

    purpose: Purpose = "training"
    rare_events: str = "error"
    qualify_events: bool = False
    partial: bool = False
    classes: frozenset[str] = frozenset()
    problem: str = "auto"

    def __post_init__(self) -> None:
        if self.rare_events not in RARE_EVENTS:
            raise OptionsError(
                f"--rare-events {self.rare_events}: has to be one of {', '.join(RARE_EVENTS)}"
            )


TRAINING = Rules()


def validate(
    listing: Listing, rules: Rules = TRAINING, contents: Mapping[Path, Content] | None = None
) -> Manifest:
    """Validate a listing and make its manifest.

    Args:
        listing: the clips as read.
        rules: how strict the checks are.
        contents: of the files, as far as known; identical sounds must have equal labels.

    Raises:
        DataError: with all issues of the source, sorted by file and line.
    """
    if listing.several or rules.problem == "multi":
        return validate_several(listing, rules, contents)
    records = apply_rules(listing.records, rules)
    issues = check_listing(replace(listing, records=records), rules)
    issues += label_conflicts(records, contents or {})
    raise_issues(listing.source, issues)
    labels = [
        {
            level_name(depth): (label,)
            for depth, label in enumerate(record.labels)
            if label and not _is_negative(record, rules)
        }
        for record in records
    ]
    return _manifest(listing, records, labels, rules, contents)


def validate_several(
    listing: Listing, rules: Rules, contents: Mapping[Path, Content] | None
) -> Manifest:
    """:func:`validate` for clips with any number of labels.

    Raises:
        OptionsError: a rule that is for clips with one label.
    """
    for flag, wrong in (
        ("--rare-events", rules.rare_events != TRAINING.rare_events),
        ("--qualify-events", rules.qualify_events),
    ):
        if wrong:
            raise OptionsError(
                f"{flag} is for clips with one label, but those of {listing.source} can have "
                "several (with --problem single, each clip has one)"
            )
    records = [with_label_sets(record) for record in listing.records]
    issues = [*listing.issues, *_check_files(replace(listing, records=tuple(records)))]
    if listing.labelled:
        issues += _label_sets(records)
        for places in _places(records).values():
            issues += [DataIssue(str(listing.source), 0, cause) for cause in similar_labels(places)]
        if rules.purpose == "training":
            issues += _one_clip_label_sets(records)
    if not records and not issues:
        issues.append(DataIssue(str(listing.source), 0, "no clips"))
    certain = [_with_cells(record) for record in records if not record.uncertain]
    issues += label_conflicts(certain, contents or {})
    raise_issues(listing.source, issues)
    labels = [
        {
            level: tuple(x for x in found if x in rules.classes or not is_negative(x))
            for level, found in record.label_sets.items()
        }
        for record in records
    ]
    manifest = _manifest(listing, records, labels, rules, contents)
    if not any(found for one in labels for found in one.values()):
        cause = "no clip has a class; all labels stand for sounds of no class"
        raise_issues(listing.source, [DataIssue(str(listing.source), 0, cause)])
    return replace(manifest, problem="multi")


def _manifest(
    listing: Listing,
    records: Sequence[ClipRecord],
    labels: Sequence[Mapping[str, tuple[str, ...]]],
    rules: Rules,
    contents: Mapping[Path, Content] | None,
) -> Manifest:
    """The manifest of valid records with the labels of their clips."""
    root = listing.source if listing.source.is_dir() else listing.source.parent
    clips = [
        Clip(
            path=record.path,
            labels=found,
            group=record.group or stand_alone(record.path, root),
            fold=parse_fold(record.fold),
            uncertain=record.uncertain,
        )
        for record, found in zip(records, labels, strict=True)
    ]
    manifest = Manifest(
        name=listing.name,
        clips=tuple(sorted(clips, key=lambda clip: clip.path)),
        grouped=listing.grouped,
        folds_are_subsets=listing.folds_are_subsets,
        synthetic=listing.synthetic,
        licence=listing.licence,
        citation=listing.citation,
        partial=rules.partial,
    )
    return manifest if contents is None else manifest.with_contents(contents)


def _is_negative(record: ClipRecord, rules: Rules) -> bool:
    return record.label(0) not in rules.classes and is_negative(record.label(0))


def raise_issues(source: str | Path, issues: Iterable[DataIssue]) -> None:
    """Raise a ``DataError`` if there are issues, sorted by file and line."""
    issues = sorted(issues, key=lambda issue: (issue.file, issue.line))
    if issues:
        raise DataError(source, issues)


def apply_rules(records: Sequence[ClipRecord], rules: Rules) -> tuple[ClipRecord, ...]:
    """The records with normalised labels, renamed or removed as the rules say."""
    records = [
        replace(record, labels=tuple(map(normalise_label, record.labels))) for record in records
    ]
    for depth in range(1, _levels(records)):
        if rules.qualify_events:
            shared = {name for name, found in _parents(records, depth).items() if len(found) > 1}
            records = [
                _relabelled(record, depth, f"{record.label(depth - 1)}/{record.label(depth)}")
                if record.label(depth) in shared
                else record
                for record in records
            ]
        if rules.rare_events == "unlabel":
            clips = Counter(record.label(depth) for record in records)
            records = [
                replace(record, labels=record.labels[:depth])
                if record.label(depth) and clips[record.label(depth)] == 1
                else record
                for record in records
            ]
    return tuple(records)


def _levels(records: Iterable[ClipRecord]) -> int:
    """Number of levels down to the finest label of all records; at least 1."""
    return max(
        (depth + 1 for record in records for depth, label in enumerate(record.labels) if label),
        default=1,
    )


def _relabelled(record: ClipRecord, depth: int, label: str) -> ClipRecord:
    return replace(record, labels=(*record.labels[:depth], label, *record.labels[depth + 1 :]))


def check_listing(listing: Listing, rules: Rules = TRAINING) -> list[DataIssue]:
    """All issues of a listing: those met while reading it, and those of its records."""
    issues = [*listing.issues, *_check_files(listing)]
    if listing.labelled:
        issues += _labels(listing.records)
        issues += _labels_under_two_parents(listing.records)
        if rules.purpose == "training":
            issues += _one_clip_classes(listing.records)
        if rules.purpose != "evaluation":
            one_suffices = rules.purpose == "crossfit" and any(
                is_negative(record.label(0)) for record in listing.records
            )
            issues += () if one_suffices else _single_labels(listing)
    if not listing.records and not issues:
        issues.append(DataIssue(str(listing.source), 0, "no clips"))
    return issues


def _check_files(listing: Listing) -> Iterator[DataIssue]:
    """Issues of files, folds and groups."""
    yield from _missing_files(listing.records)
    yield from _duplicate_files(listing.records)
    yield from _folds(listing.records)
    if listing.grouped:
        for record in listing.records:
            if not record.group:
                yield record.issue("no group, while other clips have one")


def parse_fold(text: str) -> int | None:
    """The fold in a cell, ``None`` if it is empty; a ``ValueError`` if it is not an integer.

    ``2.0`` is 2: some programs write integers as floats.
    """
    text = text.strip()
    if not text:
        return None
    whole, point, rest = text.partition(".")
    if point and rest.strip("0"):
        raise ValueError(text)
    return int(whole)


def check_sounds(manifest: Manifest, *, progress: bool = False) -> Manifest:
    """Decode every clip once, in blocks, and return the manifest with the clips' contents.

    Groups that share a sound become one group. Memory does not grow with the length of the clips.

    Raises:
        DataError: with one issue for each clip that is missing, empty, truncated (unless the
            manifest is ``partial``) or no sound, or that has the sound of another clip but other
            labels.
    """
    decoded = Decoded()
    contents, issues = contents_of(
        [clip.path for clip in manifest.clips] + [one.path for one in manifest.recordings],
        decoded=decoded,
        partial=manifest.partial,
        progress=progress,
    )
    return with_checked_contents(manifest, contents, decoded, issues)


def with_checked_contents(
    manifest: Manifest,
    contents: Mapping[Path, Content],
    decoded: Decoded,
    issues: Iterable[DataIssue] = (),
) -> Manifest:
    """The manifest with the contents of its clips, of which equal ones must have equal labels.

    Args:
        manifest: the clips.
        contents: by path.
        decoded: the sounds that are kept in memory.
        issues: of reading the sounds.

    Raises:
        DataError: the issues, and one for each clip that has the sound of another clip but other
            labels.
    """
    records = [
        _with_cells(ClipRecord(clip.path, (), label_sets=clip.labels))
        for clip in manifest.clips
        if clip.start is None and not clip.uncertain
    ]
    raise_issues(manifest.name, [*issues, *label_conflicts(records, contents)])
    return manifest.with_contents(contents, decoded)


def label_conflicts(
    records: Sequence[ClipRecord], contents: Mapping[Path, Content]
) -> Iterator[DataIssue]:
    """Issues of records with the sound of an earlier record but another label.

    A missing label of a finer level does not conflict.
    """
    known = [record for record in records if record.path in contents and record.label(0)]
    earlier: defaultdict[int, dict[tuple[str, ...], ClipRecord]] = defaultdict(dict)
    for sound, record in zip(
        united([contents[record.path].digests for record in known]), known, strict=True
    ):
        for other in earlier[sound].values():
            different = [
                (level_name(depth), theirs, ours)
                for depth, (theirs, ours) in enumerate(
                    zip(other.labels, record.labels, strict=False)
                )
                if theirs != ours and theirs and ours
            ]
            if different and not _same_file(other.path.resolve(), record.path.resolve()):
                level, theirs, ours = different[0]
                yield record.issue(
                    f"the same sound as {other.path}, which has the {level} {theirs!r}, not "
                    f"{ours!r}; correct one label, or remove one file"
                )
                break
        earlier[sound].setdefault(record.labels, record)


def without_label(clips: Iterable[Clip], level: str) -> dict[str, int]:
    """Clips without a label of a level, counted by their label of the level above.

    Empty if no clip has such a label. This is not an issue: a model predicts the labels above from
    the head of their own level.

    Args:
        clips: of a data set.
        level: not the first.
    """
    clips = tuple(clips)
    above = level_name(level_depth(level) - 1)
    if not any(clip.labels.get(level) for clip in clips):
        return {}
    counts = Counter(
        name for clip in clips if not clip.labels.get(level) and (name := clip.label(above))
    )
    return dict(sorted(counts.items()))


def _missing_files(records: Iterable[ClipRecord]) -> Iterator[DataIssue]:
    for record in records:
        if "\0" in str(record.path):  # os functions raise for such names
            yield record.issue("not a file name")
        elif is_folder(record.path):
            yield (
                record.issue("a folder, not a file") if record.text else record.issue("empty path")
            )
        elif kind := special_kind(record.path):
            yield record.issue(f"{kind}, not a file")
        elif not os.path.exists(record.path):  # noqa: PTH110
            yield record.issue("a link to nothing" if is_link(record.path) else "no such file")


def _duplicate_files(records: Iterable[ClipRecord]) -> Iterator[DataIssue]:
    """Issues of records whose file is listed twice, possibly under another path."""
    seen: defaultdict[str, list[tuple[Path, ClipRecord]]] = defaultdict(list)
    for record in records:
        if is_folder(record.path):
            continue
        try:
            path = record.path.resolve()
        except (ValueError, OSError):  # no file has such a name
            continue
        # Names that differ in case only are one file on some file systems.
        earlier = seen[str(path).casefold()]
        first = next((other for known, other in earlier if _same_file(known, path)), None)
        if first is None:
            earlier.append((path, record))
        else:
            where = f"line {first.line}" if first.line else str(first.path)
            yield record.issue(f"the same file as {where}")


def _same_file(one: Path, other: Path) -> bool:
    if one == other:
        return True
    there = os.path.exists(one) and os.path.exists(other)  # noqa: PTH110
    return there and os.path.samefile(one, other)  # noqa: PTH121


def _folds(records: Sequence[ClipRecord]) -> Iterator[DataIssue]:
    some = any(record.fold.strip() for record in records)
    for record in records:
        if some and not record.fold.strip():
            yield record.issue("no fold, while other clips have one")
            continue
        try:
            parse_fold(record.fold)
        except ValueError:
            yield record.issue(f"the fold has to be a whole number, not {record.fold!r}")


def _labels(records: Iterable[ClipRecord]) -> Iterator[DataIssue]:
    for record in records:
        for depth in range(_levels([record])):
            if not record.label(depth):
                yield record.issue(f"empty {level_name(depth)}")
        yield from _invalid_text(record, record.labels)


def _invalid_text(record: ClipRecord, labels: Iterable[str]) -> Iterator[DataIssue]:
    for label in labels:
        # File names that are not UTF-8 become text that cannot be encoded.
        if label.encode("utf-8", "replace").decode() != label:
            yield record.issue(f"the label {label!a} is not valid text; rename it")


def _label_sets(records: Iterable[ClipRecord]) -> Iterator[DataIssue]:
    first = level_name(0)
    for record in records:
        sets = record.label_sets
        if first not in sets:
            yield record.issue(f"empty {first}; write none for a sound of no class")
        yield from _invalid_text(record, [label for found in sets.values() for label in found])


def _with_cells(record: ClipRecord) -> ClipRecord:
    """A record with its sets of labels as one text each, sorted."""
    deepest = max(map(level_depth, record.label_sets), default=0)
    levels = map(level_name, range(deepest + 1))
    return replace(
        record,
        labels=tuple(SEPARATOR.join(sorted(record.label_sets.get(level, ()))) for level in levels),
    )


def _places(records: Iterable[ClipRecord]) -> dict[str, dict[str, str]]:
    """For each label of each level where it is used first."""
    places: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for record in records:
        for level, found in record.label_sets.items():
            for label in found:
                places[level].setdefault(label, _place(record))
    return places


def _one_clip_label_sets(records: Sequence[ClipRecord]) -> Iterator[DataIssue]:
    """Issues of classes with a single clip."""
    clips = Counter(
        (level, label)
        for record in records
        for level, found in record.label_sets.items()
        for label in found
    )
    for record in records:
        for level, found in record.label_sets.items():
            for label in found:
                if clips[level, label] == 1 and not is_negative(label):
                    yield record.issue(
                        f"{level} {label!r} has this one clip only; training and test need at "
                        "least two"
                    )


def _parents(records: Iterable[ClipRecord], depth: int) -> dict[str, dict[str, ClipRecord]]:
    """For each label of a level the labels of the level above, each with its first record."""
    found: defaultdict[str, dict[str, ClipRecord]] = defaultdict(dict)
    for record in records:
        if record.label(depth) and record.label(depth - 1):
            found[record.label(depth)].setdefault(record.label(depth - 1), record)
    return found


def _labels_under_two_parents(records: Sequence[ClipRecord]) -> Iterator[DataIssue]:
    for depth in range(1, _levels(records)):
        level, above = level_name(depth), plural(level_name(depth - 1))
        for label, found in _parents(records, depth).items():
            if len(found) > 1:
                second = list(found.values())[1]
                places = "; ".join(f"{name} ({_place(record)})" for name, record in found.items())
                yield second.issue(
                    f"{level} {label!r} is under {len(found)} {above}: {places}; rename it, or "
                    "pass --qualify-events to call them "
                    f"{' and '.join(f'{name}/{label}' for name in found)}"
                )


def _place(record: ClipRecord) -> str:
    return f"line {record.line}" if record.line else record.path.name


def _one_clip_classes(records: Sequence[ClipRecord]) -> Iterator[DataIssue]:
    above: Counter[str] = Counter()
    for depth in range(_levels(records)):
        level = level_name(depth)
        clips = Counter(record.label(depth) for record in records)
        for record in records:
            label = record.label(depth)
            negative = is_negative(record.label(0))
            reported = depth and above[record.label(depth - 1)] < 2
            if not label or negative or clips[label] > 1 or reported:
                continue  # a single clip of the level above is reported there
            remedy = ""
            if depth:
                kept = level_name(depth - 1)
                remedy = f" (--rare-events unlabel keeps such clips for their {kept})"
            yield record.issue(
                f"{level} {label!r} has this one clip only; training and test need at least two"
                f"{remedy}"
            )
        above = clips


def _single_labels(listing: Listing) -> Iterator[DataIssue]:
    """Levels with a single label."""
    for depth in range(_levels(listing.records)):
        level = level_name(depth)
        names = {
            record.label(depth)
            for record in listing.records
            if record.label(depth) and not is_negative(record.label(0))
        }
        if len(names) == 1:
            need = "a classifier needs at least two"
            if depth:
                need = f"give two or more, or leave the {level} out"
            yield DataIssue(str(listing.source), 0, f"only one {level}, {names.pop()!r}; {need}")
