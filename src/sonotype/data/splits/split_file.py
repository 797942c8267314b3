"""The table of a split: which clip is in which subset, so that a resumed run can compare."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sonotype.core.errors import OptionsError
from sonotype.core.io import replacing
from sonotype.core.types import Content
from sonotype.data.manifest import Manifest
from sonotype.data.records import normalise_label
from sonotype.data.splits.split import Split

SPLIT = "split.csv"
LABELS = ("category", "event", "group")
DIGESTS = ("file_digest", "sound_digest")
"""Columns with the digests of a clip's content; tables of earlier versions have none."""


def lock_split(path: Path, manifest: Manifest, parts: Split) -> None:
    """Note which clip is in which part, or compare with what was noted when the run began.

    The same sounds under other names or in other groups can be dealt otherwise; going on would
    then test on clips that were trained on.
    """
    text = split_table(manifest, parts)
    if path.exists() and not same_split(path, rows_of(text)):
        raise OptionsError(
            f"the clips would be parted otherwise than in {path}: names, groups or folds of the "
            "data have changed; train a new run"
        )
    with replacing(path) as part:
        part.write_bytes(text.encode("utf-8", "surrogateescape"))


def read_split(path: Path) -> list[dict[str, str]]:
    """The rows of a run's ``split.csv``.

    Raises:
        OptionsError: it is not one.
    """
    rows = rows_of(path.read_bytes().decode("utf-8", "surrogateescape"))
    if any({"part", "path", *LABELS} - row.keys() for row in rows):
        raise OptionsError(f"{path} is no split of a run: it lacks columns that every split has")
    return rows


def rows_of(table: str) -> list[dict[str, str]]:
    """The rows of a table as :func:`split_table` writes it."""
    return list(csv.DictReader(io.StringIO(table, newline="")))


def same_split(path: Path, now: Sequence[Mapping[str, str]]) -> bool:
    """Whether a noted split has the same clips in the same parts, wherever the data lie.

    Clips are compared by the digests of their sounds; in a table without digests, from an earlier
    version, by their file names.

    Raises:
        OptionsError: the table is no split, or the names in it leave open which clip is meant.
    """
    before = read_split(path)
    if _have_digests([*before, *now]):
        return canonical_rows(before) == canonical_rows(now)
    by_name = [
        _canonical_rows(rows, by=lambda row: file_name(row["path"])) for rows in (before, now)
    ]
    parts: dict[tuple[str, ...], str] = {}
    for part, *clip in by_name[0]:
        if parts.setdefault(tuple(clip), part) != part:
            raise OptionsError(
                f"{path} has no digests of the sounds, as an earlier version wrote it, and several "
                f"clips are called {clip[0]!r}: whether the clips are in the same parts cannot be "
                "compared; train a new run"
            )
    return by_name[0] == by_name[1]


def canonical_rows(rows: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    """Part, digest of the sound, labels and recording of each clip, wherever the data lie."""
    return _canonical_rows(rows, by=lambda row: row[DIGESTS[-1]])


def _have_digests(rows: Sequence[Mapping[str, str]]) -> bool:
    return all(row.get(DIGESTS[-1]) for row in rows)


def _canonical_rows(
    rows: Sequence[Mapping[str, str]], by: Callable[[Mapping[str, str]], str]
) -> list[tuple[str, ...]]:
    """Part, identity, labels and recording of each clip."""
    return sorted((row["part"], by(row), *(row[name] for name in LABELS)) for row in rows)


def file_name(path: str) -> str:
    """The last part of a path of this system or another, in the composed form of Unicode."""
    return normalise_label(re.split(r"[/\\]", path)[-1])


def split_table(manifest: Manifest, parts: Split) -> str:
    """The clips of a split as CSV: part, path, category, event, group, and digests if known."""
    named = (("train", parts.train), ("val", parts.val), ("test", parts.test))
    part_of = {index: name for name, indices in named for index in indices}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["part", "path", *LABELS, *DIGESTS])
    for index, clip in enumerate(manifest.clips):
        if index in part_of:
            row = [part_of[index], clip.path, clip.category, clip.event or "", clip.group]
            content = clip.content or Content("")
            writer.writerow([*row, content.file, content.sound])
    return text.getvalue()
