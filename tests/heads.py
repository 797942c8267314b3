"""Short ways to write heads and labelled clips with the two levels of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.core.types import LEVELS, Clip, Content, Head, Heads, level_name
from sonotype.evaluation.predictions import Predictions


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


def predicted(
    heads: Heads,
    true: Sequence[Any],
    proba: Sequence[Any],
    paths: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> Predictions:
    """Predictions, with the class indices and the probabilities of each head in their order."""
    numbers = range(len(true[0]))
    names = [head.name for head in heads]
    return Predictions(
        tuple(paths or (f"{number}.wav" for number in numbers)),
        tuple(groups or map(str, numbers)),
        dict(zip(names, map(np.asarray, true), strict=True)),
        dict(zip(names, map(np.asarray, proba), strict=True)),
        heads,
    )


def with_true(predictions: Predictions, **true: Any) -> Predictions:
    """The predictions with other class indices of some heads."""
    return replace(predictions, true={**predictions.true, **true})


def with_proba(predictions: Predictions, **proba: Any) -> Predictions:
    """The predictions with other probabilities of some heads."""
    return replace(predictions, proba={**predictions.proba, **proba})


def coarse(predictions: Predictions) -> Predictions:
    """The predictions of a model with the first head only."""
    name = predictions.heads[0].name
    true, proba = predictions.true[name], predictions.proba[name]
    return replace(predictions, heads=predictions.heads[:1], true={name: true}, proba={name: proba})
