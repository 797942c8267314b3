"""The table of a split: which clip is in which subset, so that a resumed run can compare."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sonotype.core.csv_file import saved_rows
from sonotype.core.errors import OptionsError
from sonotype.core.io import replacing
from sonotype.core.types import LEVELS, Content
from sonotype.data.manifest import Manifest
from sonotype.data.records import normalise_label
from sonotype.data.splits.split import Split

SPLIT = "split.csv"
DIGESTS = ("file_digest", "sound_digest")
"""Columns with the digests of a clip's content; tables of earlier versions have none."""
FIXED = ("subset", "fold", "path", "group", *DIGESTS)
"""All columns except those of the labels, which are named after their levels."""


def write_split(path: Path, manifest: Manifest, split: Split) -> None:
    """Record which clip is in which subset."""
    with replacing(path) as part:
        part.write_bytes(split_table(manifest, split).encode("utf-8", "surrogateescape"))


def read_split(path: Path) -> list[dict[str, str]]:
    """The rows of a run's ``split.csv``.

    Raises:
        OptionsError: it is another table, or cannot be read.
        FileNotFoundError: there is no such file.
    """
    rows = [_renamed(row) for row in saved_rows(path, "the split of a run")]
    if any({"subset", "path", "group", LEVELS[0]} - row.keys() for row in rows):
        raise OptionsError(f"{path} is not the split of a run: columns are missing")
    return rows


def _renamed(row: Mapping[str, str]) -> dict[str, str]:
    """A row with the column names of today; earlier versions wrote ``part``."""
    return {"subset" if name == "part" else name: row[name] for name in row}


def same_split(path: Path, manifest: Manifest, split: Split) -> bool:
    """Whether a recorded split has the same sounds in the same subsets, in any folder.

    The same sounds in other groups can be split differently; a resumed run would then test on clips
    that it was trained on.

    Raises:
        OptionsError: the table is no split.
    """
    now = [*csv.DictReader(io.StringIO(split_table(manifest, split), newline=""))]
    return _canonical_rows(read_split(path)) == _canonical_rows(now)


def _canonical_rows(rows: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    """Subset, digest of the sound, recording and labels of each clip."""
    return sorted(
        (
            row["subset"],
            row.get("fold", ""),
            row.get(DIGESTS[-1], ""),
            row["group"],
            *(row[name] for name in row if name not in FIXED),
        )
        for row in rows
    )


def file_name(path: str) -> str:
    """The last part of a path of this system or another, in the composed form of Unicode."""
    return normalise_label(re.split(r"[/\\]", path)[-1])


def split_table(manifest: Manifest, split: Split) -> str:
    """The clips of a split as CSV: subset, fold, path, labels, group, and digests if known.

    Windows have their start in seconds after the path. Several labels are sorted, as ``a;b``.
    """
    named = (("train", split.train), ("val", split.val), ("test", split.test))
    subset_of = {index: name for name, indices in named for index in indices}
    fold_of = {index: number for number, fold in enumerate(split.folds, 1) for index in fold}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    windows = any(clip.start is not None for clip in manifest.clips)
    starts = ["start"] if windows else []
    writer.writerow(["subset", "fold", "path", *starts, *manifest.levels, "group", *DIGESTS])
    for index, clip in enumerate(manifest.clips):
        if index in subset_of:
            labels = [";".join(sorted(clip.labels.get(level, ()))) for level in manifest.levels]
            content = clip.content or Content("")
            where = [subset_of[index], fold_of.get(index, "")]
            begin = ["" if clip.start is None else f"{clip.start:.10g}"] if windows else []
            row = [*where, clip.path, *begin, *labels, clip.group, content.file, content.sound]
            writer.writerow(row)
    return text.getvalue()
