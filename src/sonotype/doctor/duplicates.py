"""Pairs of equal sounds, and what each pair means for training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sonotype.data.digest import united
from sonotype.doctor.findings import Place
from sonotype.doctor.measure import Measurement
from sonotype.doctor.sound_checks import SILENCE
from sonotype.doctor.sound_set import Item, SoundSet

Found = Iterator[tuple[str, Place]]


def exact_copies(measured: Sequence[Measurement]) -> list[tuple[int, int]]:
    """Pairs of sounds with equal samples or equal bytes: each copy with the first of its kind.

    Silent sounds are left out: they are no copies of each other.
    """
    known = [
        index
        for index, found in enumerate(measured)
        if found.content is not None and found.peak >= SILENCE
    ]
    digests = [measured[index].content.digests for index in known]  # type: ignore[union-attr]
    return [
        (known[first], known[copy]) for copy, first in enumerate(united(digests)) if first != copy
    ]


def pair_kind(one: Item, other: Item, *, events: bool = False) -> str:
    """What a pair of equal sounds does to a training; the most severe of its effects.

    Args:
        one: a sound.
        other: the equal one.
        events: the labels are those of events in recordings; they do not have to agree.

    Returns:
        the end of the name of a kind: ``_under_two_labels``, ``_across_folds``,
        ``_across_groups``, or nothing.
    """
    if not events and any(
        set(labels) != set(other.labels[level])
        for level, labels in one.labels.items()
        if labels and other.labels.get(level)
    ):
        return "_under_two_labels"
    if one.fold and other.fold and one.fold != other.fold:
        return "_across_folds"
    if one.group and other.group and one.group != other.group:
        return "_across_groups"
    return ""


def check_exact(sounds: SoundSet, pairs: Sequence[tuple[int, int]]) -> Found:
    """Findings of exact copies. Training joins their groups, so groups do not matter."""
    for first, copy in pairs:
        kind = _kind(sounds, first, copy).replace("_across_groups", "")
        yield f"copies{kind}", _place(sounds, first, copy, kind)


def check_near(sounds: SoundSet, pairs: Sequence[tuple[int, int, str]]) -> Found:
    """Findings of near copies; inside a known group they are expected."""
    for first, copy, detail in pairs:
        one, other = sounds.items[first], sounds.items[copy]
        kind = _kind(sounds, first, copy)
        if kind or not one.group or one.group != other.group:
            yield f"near_copies{kind}", _place(sounds, first, copy, kind, detail)


def _kind(sounds: SoundSet, first: int, copy: int) -> str:
    return pair_kind(sounds.items[first], sounds.items[copy], events=sounds.kind == "annotated")


def _place(sounds: SoundSet, first: int, copy: int, kind: str, detail: str = "") -> Place:
    one, other = sounds.items[first], sounds.items[copy]
    more = ""
    if kind == "_under_two_labels":
        more = f"{_labels(other)} and {_labels(one)}"
    elif kind == "_across_folds":
        more = f"folds {other.fold} and {one.fold}"
    elif kind == "_across_groups":
        more = f"groups {other.group} and {one.group}"
    details = "; ".join(filter(None, (more, detail)))
    return Place(f"{sounds.name(other.path)} = {sounds.name(one.path)}", details)


def _labels(item: Item) -> str:
    """The finest labels of a sound."""
    return ", ".join(list(item.labels.values())[-1])
