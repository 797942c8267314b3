"""The manifest: labelled clips of any data source."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from sonotype.core.annotations import AnnotatedRecording
from sonotype.core.errors import OptionsError
from sonotype.core.io import file_sha256
from sonotype.core.types import LEVELS, Clip, Content, Heads, Problem, heads_of, plural
from sonotype.data.decoded import Decoded
from sonotype.data.digest import united

SUBSETS = {1: "train", 2: "validation", 3: "test"}
"""The subset of each fold if the source's folders are named after subsets."""


_Item = TypeVar("_Item", Clip, AnnotatedRecording)


@dataclass(frozen=True)
class Manifest:
    """Labelled clips, and what reports show beside a score on them.

    Attributes:
        name: short name of the source, such as ``esc50`` or the folder's own name.
        clips: the clips, sorted by path.
        grouped: whether ``Clip.group`` comes from the source, a column or a pattern; ``False`` if
            the recordings are not known and every clip is its own group.
        folds_are_subsets: whether the source's folders are named after subsets, see ``SUBSETS``.
        synthetic: whether the sounds are synthetic; reports say so.
        licence: licence of the recordings, if the source states one.
        citation: what to cite, if the source asks for it.
        partial: whether truncated files are used.
        decoded: short sounds that a check has decoded, if they are kept.
        problem: ``"multi"`` if any number of classes can be present in a clip; ``None`` leaves it
            to the labels, see :func:`sonotype.core.types.heads_of`.
        recordings: the annotated recordings whose windows the clips are; empty for other sources.
        not_annotated: number of recordings without a label file, which are not used.
    """

    name: str
    clips: tuple[Clip, ...]
    grouped: bool = False
    folds_are_subsets: bool = False
    synthetic: bool = False
    licence: str = ""
    citation: str = ""
    partial: bool = False
    decoded: Decoded | None = field(default=None, compare=False, repr=False)
    problem: Problem | None = None
    recordings: tuple[AnnotatedRecording, ...] = ()
    not_annotated: int = 0

    @cached_property
    def heads(self) -> Heads:
        """The heads for the labels that occur, see :func:`sonotype.core.types.heads_of`."""
        return heads_of(self.clips, self.problem)

    @property
    def folds(self) -> tuple[int, ...]:
        """The official folds that occur, sorted; empty where the source has none."""
        found = {clip.fold for clip in self.clips} | {one.fold for one in self.recordings}
        return tuple(sorted(fold for fold in found if fold is not None))

    @cached_property
    def sounds(self) -> tuple[int, ...]:
        """For each clip the position of the first clip with the same sound, as far as known."""
        return tuple(united([clip.digests for clip in self.clips]))

    @property
    def copies(self) -> int:
        """How many clips have the sound of an earlier clip, as far as known."""
        return len(self.clips) - len(set(self.sounds))

    def with_contents(
        self, contents: Mapping[Path, Content], decoded: Decoded | None = None
    ) -> Manifest:
        """The same clips with the contents of their files.

        Groups with a sound in common become one group, named by the first of their names.
        """
        clips = [replace(clip, content=contents.get(clip.path)) for clip in self.clips]
        recordings = [
            replace(one, content=contents.get(one.path), group=one.own_group)
            for one in self.recordings
        ]
        items: list[Clip | AnnotatedRecording] = [*clips, *recordings]
        roots = united(
            [
                (("group", item.group), *(item.content.digests if item.content else ()))
                for item in items
            ]
        )
        names: dict[int, str] = {}
        for root, item in zip(roots, items, strict=True):
            names[root] = min(names.get(root, item.group), item.group)
        groups = [names[root] for root in roots]
        return replace(
            self,
            clips=tuple(map(_in_group, clips, groups)),
            decoded=decoded,
            recordings=tuple(map(_in_group, recordings, groups[len(clips) :])),
        )

    @property
    def subsets(self) -> dict[str, int]:
        """Number of clips of each subset that a folder is named after."""
        if not self.folds_are_subsets:
            return {}
        counts = Counter(clip.fold for clip in self.clips)
        return {name: counts[fold] for fold, name in SUBSETS.items() if counts[fold]}

    def take(self, indices: list[int]) -> Manifest:
        """The same source with only the clips at these positions."""
        return replace(self, clips=tuple(self.clips[index] for index in indices))

    def of_folds(self, folds: Sequence[int]) -> Manifest:
        """The same source with only the clips of some folds; all clips if ``folds`` is empty.

        Raises:
            OptionsError: there is no such fold; names the folds.
        """
        if not folds:
            return self
        unknown = sorted(set(folds) - set(self.folds))
        if unknown:
            there = f"there are {', '.join(map(str, self.folds))}"
            raise OptionsError(
                f"--folds: no fold {', '.join(map(str, unknown))}; "
                f"{there if self.folds else f'{self.name} has no folds'}"
            )
        kept = self.take([index for index, clip in enumerate(self.clips) if clip.fold in folds])
        recordings = tuple(one for one in self.recordings if one.fold in folds)
        return replace(kept, recordings=recordings)

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Names of the levels of labels: category, event, and finer ones."""
        return tuple(dict.fromkeys((*LEVELS, *(head.name for head in self.heads))))

    def fingerprint(self) -> str:
        """SHA-256 over labels and contents, independent of paths and of the order of the clips.

        That of annotated recordings is independent of the windows. Files whose contents are known
        are not read again.
        """
        if self.recordings:
            return _fingerprint([*map(_recording_facts, self.recordings)])
        rows = [
            [
                clip.content.file if clip.content else file_sha256(clip.path),
                *(self._label_facts(clip, level) for level in self.levels),
                *([] if clip.start is None else [clip.start, clip.seconds]),
            ]
            for clip in self.clips
        ]
        return _fingerprint(rows)

    def _label_facts(self, clip: Clip, level: str) -> object:
        if any(head.name == level and head.problem == "multi" for head in self.heads):
            uncertain = sorted(clip.uncertain.get(level, ()))
            return [*sorted(clip.labels[level]), uncertain] if level in clip.labels else [None]
        return clip.label(level)

    def summary(self) -> dict[str, object]:
        """Number of clips, copies, groups; folds; clips of each label."""
        return {
            "clips": len(self.clips),
            "copies": self.copies,
            "groups": len({clip.group for clip in self.clips}) if self.grouped else None,
            "folds": list(self.folds),
            **({"subsets": self.subsets} if self.folds_are_subsets else {}),
            **{
                plural(level) if level in LEVELS else level: self.counts(level)
                for level in self.levels
            },
        }

    def counts(self, level: str) -> dict[str, int]:
        """Clips of each label of a level, by name."""
        counts = Counter(label for clip in self.clips for label in clip.labels.get(level, ()))
        return dict(sorted(counts.items()))


def _in_group(item: _Item, group: str) -> _Item:
    return replace(item, group=group)


def _recording_facts(one: AnnotatedRecording) -> list[object]:
    content = one.content.file if one.content else file_sha256(one.path)
    return [content, *sorted((e.start, e.end, e.label) for e in one.events), [*one.spans]]


def _fingerprint(rows: Sequence[object]) -> str:
    return hashlib.sha256("\n".join(sorted(map(json.dumps, rows))).encode()).hexdigest()
