"""Short ways to write heads and labelled clips with the two levels of the paper."""

from __future__ import annotations

from pathlib import Path

from sonotype.core.types import LEVELS, Clip, Content, Head, Heads, level_name


def two_heads(
    categories: tuple[str, ...],
    events: tuple[str, ...] = (),
    event_category: tuple[int, ...] = (),
    unlabelled: tuple[float, ...] = (),
) -> Heads:
    """A category head and, if there are events, an event head below it."""
    category, event = LEVELS
    coarse = Head(category, categories)
    if not events:
        return (coarse,)
    return coarse, Head(
        event, events, parent=category, parent_index=event_category, unlabelled=unlabelled
    )


def labelled(
    path: str | Path,
    category: str,
    event: str | None = None,
    group: str = "",
    fold: int | None = None,
    content: Content | None = None,
) -> Clip:
    """A clip with a category and perhaps an event."""
    known = zip(LEVELS, (category, event), strict=True)
    labels = {level: (label,) for level, label in known if label}
    return Clip(Path(path), labels, group, fold, content)


def classes_of(heads: Heads) -> dict[str, tuple[str, ...]]:
    """The classes of each head, by name."""
    return {head.name: head.classes for head in heads}


def labels_of(clip: Clip) -> tuple[str | None, ...]:
    """Category and event of a clip, and its finer labels if it has them."""
    return tuple(clip.label(level_name(n)) for n in range(max(len(LEVELS), len(clip.labels))))


def deep_heads() -> Heads:
    """Three levels; some clips of ``y`` have no event, and no clip of ``y`` has a finer label."""
    categories, events, details = ("x", "y"), ("a", "b", "c"), ("a1", "a2", "b1", "b2", "b3")
    return (
        Head("category", categories),
        Head("event", events, "single", "category", (0, 0, 1), (0.0, 0.5)),
        Head("level_3", details, "single", "event", (0, 0, 1, 1, 1), (0.2, 0.0, 1.0)),
    )
