"""Scores as plain text for a terminal: at most 80 columns, no colours, no control characters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from sonotype.core.text import pad, printable, shorten
from sonotype.evaluation.folds import FoldSummary, Spread
from sonotype.evaluation.metrics import HeadScores, Interval, Scores

WIDTH = 80
CLASSES = 10
CONFUSIONS = 10

FIGURES = {
    "precision": "macro precision",
    "recall": "macro recall",
    "f1": "macro F1",
    "accuracy": "accuracy",
}
"""The paper's table, in its order, and the accuracy."""

READ_FROM = {
    "head": "its own head",
    "events": "the sum of its events",
    "both": "the mean of its head and of its events",
}
_CLASS_CELLS = 40
_CONFUSION_CELLS = 26
_FIGURE_CELLS = 28
_FOLD_CELLS = 12


def render(scores: Scores, *, classes: int = CLASSES, confusions: int = CONFUSIONS) -> str:
    """The scores as text: notes, the paper's table, the worst classes, the largest confusions.

    Args:
        scores: what to show.
        classes: most classes listed a level, worst F1 first.
        confusions: most pairs listed a level.

    """
    blocks = [list(_notes(scores.notes)), list(_figures(scores))]
    for name, head in _heads(scores):
        blocks.append(list(_classes(name, head, classes)))
        blocks.append(list(_confusions(name, head, confusions)))
    return _join(blocks)


def render_folds(summary: FoldSummary, pooled: Scores | None = None) -> str:
    """A row a fold, then mean and standard deviation, and on request the pooled figures.

    Args:
        summary: the folds.
        pooled: scores of all folds' answers together, shown with their intervals.

    """
    notes = list(summary.notes)
    blocks = [[], list(_folds(summary))]
    if pooled is not None:
        notes += [note for note in pooled.notes if note not in notes]
        blocks.append(["all folds pooled:", *_figures(pooled)])
    blocks[0] = list(_notes(notes))
    return _join(blocks)


def _join(blocks: Sequence[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block)


def _heads(scores: Scores) -> Iterator[tuple[str, HeadScores]]:
    yield "categories", scores.category
    if scores.event is not None:
        yield "events", scores.event


def _notes(notes: Sequence[str]) -> Iterator[str]:
    for note in notes:
        yield from _wrap(f"note: {note}", indent="      ")


def _wrap(text: str, indent: str = "") -> list[str]:
    """Lines of at most 80 columns; wide characters count as the two columns they take."""
    console = Console(width=WIDTH)
    lines = Text(printable(text)).wrap(console, WIDTH - len(indent))
    return [(indent if number else "") + line.plain for number, line in enumerate(lines)]


def _figures(scores: Scores) -> Iterator[str]:
    heads = list(_heads(scores))
    yield from _wrap(
        f"{_count(scores.clips, 'clip')} in {_count(scores.groups, 'group')}; "
        f"category read from {READ_FROM.get(scores.category_source, scores.category_source)}; "
        "brackets: 95 % interval by group"
    )
    yield ""
    titles = [f"{_present(head)} {name}" for name, head in heads]
    yield pad("", 18) + "".join(pad(title, _FIGURE_CELLS) for title in titles)
    for name, label in FIGURES.items():
        cells = [_interval(getattr(head, name)) for _, head in heads]
        yield pad(label, 18) + "".join(pad(cell, _FIGURE_CELLS) for cell in cells)
    for name, head in heads:
        if name == "events" and head.n < scores.clips:
            yield f"events are scored on the {_count(head.n, 'clip')} that have one"
        if head.accuracy.low is None and head.groups == 1:
            yield f"{name}: all clips are of one group, no interval can be told"
        elif head.accuracy.low == 1:
            # Rule of three: with no mistake in G trials, the 95 % bound on the rate is 3 / G.
            bound = _rounded_down(min(100, 300 / head.groups))
            yield from _wrap(
                f"{name}: without a mistake the interval is a point; an error rate of "
                f"{bound:g} % is not ruled out by {head.groups} groups (3 / {head.groups})"
            )


def _rounded_down(value: float, digits: int = 3) -> float:
    """A positive number to some significant digits, never more than itself."""
    unit = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return math.floor(value / unit + 1e-9) * unit


def _interval(figure: Interval) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}  -"
    return f"{figure.value:.3f}  [{figure.low:.3f}, {figure.high:.3f}]"


def _present(head: HeadScores) -> int:
    return sum(one.support > 0 for one in head.per_class)


def _classes(name: str, head: HeadScores, most: int) -> Iterator[str]:
    if not most:
        return
    ranked = sorted(
        (one for one in head.per_class if one.support),
        key=lambda one: (one.f1, one.recall, -one.support, one.label),
    )
    yield _class_row(f"{name}, worst first", "precision", "recall", "F1", "clips")
    for one in ranked[:most]:
        figures = [f"{figure:.3f}" for figure in (one.precision, one.recall, one.f1)]
        yield _class_row(one.label, *figures, str(one.support))
    if len(ranked) > most:
        yield f"  ... and {len(ranked) - most} more, none of them worse"
    absent = len(head.labels) - len(ranked)
    if absent:
        yield f"  {absent} of {len(head.labels)} without a clip here: in none of the means"


def _class_row(label: str, *cells: str) -> str:
    return pad(shorten(label, _CLASS_CELLS), _CLASS_CELLS) + "".join(
        pad(cell, 10, right=True) for cell in cells
    )


def _confusions(name: str, head: HeadScores, most: int) -> Iterator[str]:
    support = [one.support for one in head.per_class]
    pairs = [
        (count, true, other)
        for true, row in enumerate(head.confusion)
        for other, count in enumerate(row)
        if count and other != true
    ]
    if not (pairs and most):
        return
    pairs.sort(key=lambda pair: (-pair[0], support[pair[1]], pair[1], pair[2]))
    mistakes = sum(count for count, _, _ in pairs)
    yield f"{name}, largest confusions ({mistakes} of {_count(head.n, 'clip')} wrong)"
    for count, true, other in pairs[:most]:
        source = pad(shorten(head.labels[true], _CONFUSION_CELLS), _CONFUSION_CELLS)
        target = pad(shorten(head.labels[other], _CONFUSION_CELLS), _CONFUSION_CELLS)
        yield f"  {source} -> {target}{count:>6} of {support[true]}"
    if len(pairs) > most:
        rest = sum(count for count, _, _ in pairs[most:])
        yield f"  ... and {_count(len(pairs) - most, 'more pair')} ({_count(rest, 'clip')})"


def _folds(summary: FoldSummary) -> Iterator[str]:
    heads = [summary.category] + ([summary.event] if summary.event is not None else [])
    yield from _wrap(
        f"{_count(len(summary.names), 'fold')}, {_count(sum(summary.clips), 'clip')}; category "
        f"read from {READ_FROM.get(summary.category_source, summary.category_source)}"
    )
    yield ""
    above = ["categories (macro)", "events (macro)"][: len(heads)]
    yield pad("", _FOLD_CELLS + 8) + "".join(pad("  " + title, 28) for title in above)
    columns: list[Spread] = [getattr(head, name) for head in heads for name in FIGURES]
    titles = ["prec", "recall", "F1", "acc"] * len(heads)
    yield _fold_row("fold", "clips", titles)
    for index, (name, clips) in enumerate(zip(summary.names, summary.clips, strict=True)):
        yield _fold_row(name, str(clips), [f"{one.values[index]:.3f}" for one in columns])
    yield _fold_row("mean", "", [f"{one.mean:.3f}" for one in columns])
    yield _fold_row(
        "std", "", ["-" if one.deviation is None else f"{one.deviation:.3f}" for one in columns]
    )


def _fold_row(name: str, clips: str, cells: Sequence[str]) -> str:
    start = pad(shorten(name, _FOLD_CELLS), _FOLD_CELLS) + pad(clips, 8, right=True)
    return start + "".join(pad(cell, 7, right=True) for cell in cells)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
