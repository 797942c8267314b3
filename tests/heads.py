"""Short ways to write heads and labelled clips with the two levels of the paper."""

from __future__ import annotations

from pathlib import Path

from sonotype.core.types import LEVELS, Clip, Content, Head, Heads


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
