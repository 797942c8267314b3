"""Write a table without the faulty clips, and with one spelling of each label."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from sonotype.core.errors import OptionsError
from sonotype.core.io import replacing
from sonotype.core.text import counted
from sonotype.core.types import level_depth, level_name
from sonotype.data.readers.label_sets import SEPARATOR
from sonotype.doctor.duplicates import exact_copies, pair_kind
from sonotype.doctor.examine import Diagnosis
from sonotype.doctor.set_checks import label_counts, spellings
from sonotype.doctor.sound_checks import check_sound
from sonotype.doctor.sound_set import Item, SoundSet

UNUSABLE = frozenset(
    {"unreadable", "truncated", "silent", "cancelled", "not_numbers", "far_above_full_scale"}
)
"""Kinds of faults of a single sound that a cleaned table leaves out."""


@dataclass(frozen=True)
class Fixed:
    """What a cleaned table differs in.

    Attributes:
        kept: number of clips in the table.
        dropped: clips that cannot be used.
        copies: clips with the sound of another clip; of copies with different labels, all.
        relabelled: clips with another spelling of a label.
    """

    kept: int
    dropped: int
    copies: int
    relabelled: int

    def __str__(self) -> str:
        return (
            f"{counted(self.kept, 'clip')}; left out: {self.dropped} unusable, "
            f"{self.copies} copies; {counted(self.relabelled, 'clip')} with a label respelled"
        )


def require_fixable(sounds: SoundSet) -> None:
    """Raise an ``OptionsError`` for sources whose labels do not fit into a table of clips."""
    if sounds.kind == "annotated":
        raise OptionsError("--fix writes tables of clips; correct label files by hand")
    if sounds.uncertain:
        raise OptionsError(
            f"--fix cannot write the empty cells of class columns in {sounds.source}; correct the "
            "table by hand"
        )


def write_fixed(diagnosis: Diagnosis, out: Path) -> Fixed:
    """Write the cleaned table, which ``train`` reads; no sound is changed.

    Args:
        diagnosis: of the source.
        out: a CSV file; its paths are relative to its folder where the sounds are below it.

    Raises:
        OptionsError: the file cannot be written, or the source does not fit into a table.
    """
    sounds = diagnosis.sounds
    require_fixable(sounds)
    unusable = {
        index
        for index, (item, found) in enumerate(zip(sounds.items, diagnosis.measured, strict=True))
        if any(kind in UNUSABLE for kind, _ in check_sound(found, negative=item.negative))
    }
    copies = _copies(diagnosis) - unusable
    kept = [item for index, item in enumerate(sounds.items) if index not in unusable | copies]
    names = {level: spellings(counts) for level, counts in label_counts(sounds.items).items()}
    relabelled = sum(
        any(label in names[level] for level, found in item.labels.items() for label in found)
        for item in kept
    )
    _write(kept, names, sounds, out)
    return Fixed(len(kept), len(unusable), len(copies), relabelled)


def _copies(diagnosis: Diagnosis) -> set[int]:
    """All copies but the first of each sound; all of a sound with different labels."""
    items = diagnosis.sounds.items
    clusters: defaultdict[int, list[int]] = defaultdict(list)
    for first, copy in exact_copies(diagnosis.measured):
        clusters[first].append(copy)
    dropped: set[int] = set()
    for first, copies in clusters.items():
        dropped.update(copies)
        if any(pair_kind(items[first], items[copy]) == "_under_two_labels" for copy in copies):
            dropped.add(first)
    return dropped


def _write(
    items: list[Item], names: dict[str, dict[str, str]], sounds: SoundSet, out: Path
) -> None:
    depths = [level_depth(level) for level in names]
    levels = [level_name(depth) for depth in range(max(depths, default=0) + 1)]
    grouped, folds = sounds.grouped, any(item.fold for item in items)
    header = ["path", *levels, *(["group"] if grouped else []), *(["fold"] if folds else [])]
    folder = out.resolve().parent
    with replacing(out) as part, part.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(header)
        for item in items:
            path = item.path.absolute()
            shown = path.relative_to(folder) if path.is_relative_to(folder) else path
            labels = [
                SEPARATOR.join(
                    dict.fromkeys(names[level].get(x, x) for x in item.labels.get(level, ()))
                )
                for level in levels
            ]
            if sounds.several and levels[0] in item.labels and not labels[0]:
                labels[0] = "none"
            table.writerow(
                [
                    shown.as_posix(),
                    *labels,
                    *([item.group] if grouped else []),
                    *([item.fold] if folds else []),
                ]
            )
