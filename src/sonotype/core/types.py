"""Frozen dataclasses that cross rooms: labelled clips, the labels of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

IGNORE_INDEX = -1
"""Index that stands for "this clip has no event label"; the event loss and scores pass over it."""


@dataclass(frozen=True)
class Content:
    """What identifies the sound in a file, wherever the file lies and whatever its name is.

    Two files hold the same sound where either digest is equal. Both digests are in hexadecimal.

    Attributes:
        file: SHA-256 of the file's bytes.
        sound: SHA-256 of the decoded samples, from :func:`sonotype.audio.decode.verify`; empty
            where the file was not decoded, or cannot be.
        stamp: time of change, size and inode of the file when it was read.
    """

    file: str
    sound: str = ""
    stamp: tuple[int, int, int] | None = field(default=None, compare=False)

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests that are known."""
        return tuple(filter(None, (self.file, self.sound)))


@dataclass(frozen=True)
class Clip:
    """One labelled recording.

    Attributes:
        path: the sound file.
        category: its class on the coarse level.
        event: its class on the fine level, or ``None`` where it is not known.
        group: clips of one group come from one recording and never part in a split.
        fold: the official fold, or ``None`` where the source has none.
        content: the digests of its sound; ``None`` where they were not computed.

    """

    path: Path
    category: str
    event: str | None
    group: str
    fold: int | None
    content: Content | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Labels:
    """The class names of a model, in the order of its logits.

    Attributes:
        categories: names of the coarse classes.
        events: names of the fine classes; empty for a model without an event head.
        event_category: for each event the index of its category.
        event_less: for each category the share of its clips that have no event label. Empty where
            this is not known. Labels that differ in this field alone are equal.

    Raises:
        ValueError: ``event_less`` is not one share, between 0 and 1, for each category.

    """

    categories: tuple[str, ...]
    events: tuple[str, ...] = ()
    event_category: tuple[int, ...] = ()
    event_less: tuple[float, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.event_less and len(self.event_less) != len(self.categories):
            raise ValueError(
                f"event_less has {len(self.event_less)} shares for {len(self.categories)} "
                "categories"
            )
        for share in self.event_less:
            if not 0 <= share <= 1:
                raise ValueError(f"event_less holds {share}, which is not between 0 and 1")

    @classmethod
    def of(cls, clips: Iterable[Clip]) -> Labels:
        """Collect the sorted labels of some clips; an event belongs to one category."""
        clips = tuple(clips)
        categories = tuple(sorted({clip.category for clip in clips}))
        home = {clip.event: clip.category for clip in clips if clip.event is not None}
        events = tuple(sorted(home))
        total = Counter(clip.category for clip in clips)
        without = Counter(clip.category for clip in clips if clip.event is None)
        return cls(
            categories,
            events,
            tuple(categories.index(home[name]) for name in events),
            tuple(without[name] / total[name] for name in categories),
        )

    @cached_property
    def event_less_shares(self) -> tuple[float, ...]:
        """``event_less``; where it is empty, 1 for a category without events and 0 otherwise."""
        if self.event_less:
            return self.event_less
        homes = set(self.event_category)
        return tuple(float(index not in homes) for index in range(len(self.categories)))

    @cached_property
    def _category_index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.categories)}

    @cached_property
    def _event_index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.events)}

    def category_index(self, clip: Clip) -> int:
        """Index of the clip's category; a ``KeyError`` where the labels lack it."""
        return self._category_index[clip.category]

    def event_index(self, clip: Clip) -> int:
        """Index of the clip's event, ``IGNORE_INDEX`` where it, or the model, has none."""
        return (
            IGNORE_INDEX if clip.event is None or not self.events else self._event_index[clip.event]
        )


def labels_of_all(models: Sequence[Labels]) -> Labels:
    """The labels of models that answer together: equal labels, and the mean of ``event_less``."""
    shares = [one.event_less_shares for one in models]
    if all(one == shares[0] for one in shares):
        return models[0]
    mean = tuple(sum(column) / len(models) for column in zip(*shares, strict=True))
    return replace(models[0], event_less=mean)
