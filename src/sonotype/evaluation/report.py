"""Scores as plain text for a terminal: at most 80 columns, no colours, no control characters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from sonotype.core.text import align, counted, listed, wrap
from sonotype.core.types import plural
from sonotype.evaluation.folds import FoldSummary, Spread
from sonotype.evaluation.metrics import ClassScore, HeadScores, Interval, Scores, UnknownScores

CLASSES = 10
CONFUSIONS = 10
ABSENT = 50

TITLES = {
    "precision": "macro precision",
    "recall": "macro recall",
    "f1": "macro F1",
    "accuracy": "accuracy",
}
"""The metrics of the paper's table in its order, and the accuracy."""

RANKING_TITLES = {
    "average_precision": "mAP, macro",
    "micro_average_precision": "mAP, micro",
    "lwlrap": "lwlrap",
}
"""Metrics of heads whose clips have any number of labels."""

SOURCES = {
    "head": "its own head",
    "events": "the sum of its events",
    "both": "the mean of its head and of its events",
}
METRIC_COLUMNS = (18, 28, 28)
CLASS_COLUMNS = (40, -10, -10, -10, -10)
MULTI_CLASS_COLUMNS = (36, -8, -10, -8, -8, -10)
CONFUSION_COLUMNS = (2, 26, 4, 26, -6, 16)
FOLD_COLUMNS = (12, -8, *[-7] * 8)
FOLD_HEADS = (20, 28, 28)


def render(scores: Scores, *, classes: int = CLASSES, confusions: int = CONFUSIONS) -> str:
    """Notes, the table of metrics, the worst classes, the largest confusions.

    Args:
        scores: of a model.
        classes: largest number of classes of each level, worst F1 first.
        confusions: largest number of pairs of each level.
    """
    blocks = [list(note_lines(scores.notes)), list(_metrics(scores))]
    for name, head in scores.heads.items():
        blocks.append(list(_classes(plural(name), head, classes)))
        blocks.append(list(_confusions(plural(name), head, confusions)))
    return join_blocks(blocks)


def render_folds(summary: FoldSummary, pooled: Scores | None = None) -> str:
    """A line for each fold, mean and standard deviation, and the metrics of all folds pooled.

    Args:
        summary: of the folds.
        pooled: scores of all folds' predictions together, shown with their intervals.
    """
    notes = list(summary.notes)
    blocks = [list(_folds(summary))]
    if pooled is not None:
        notes += [note for note in pooled.notes if note not in notes]
        blocks.append(["all folds pooled:", *_metrics(pooled)])
    return join_blocks([list(note_lines(notes)), *blocks])


def join_blocks(blocks: Sequence[Sequence[str]]) -> str:
    """Blocks of lines as one text, with an empty line between them; empty blocks are left out."""
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block)


def note_lines(notes: Sequence[str]) -> Iterator[str]:
    """The notes above the tables of a report, in lines of at most 80 columns."""
    for note in notes:
        yield from wrap(f"note: {note}", indent="      ")


def _metrics(scores: Scores) -> Iterator[str]:
    yield from wrap(
        f"{counted(scores.clips, 'clip' if scores.events is None else 'window')} in "
        f"{counted(scores.groups, 'group')}; {_source(scores)}; brackets: 95 % interval by group"
    )
    for names in _pairs(scores.heads):
        columns = METRIC_COLUMNS[: 1 + len(names)]
        heads = [scores.heads[name] for name in names]
        present = [sum(entry.support > 0 for entry in head.per_class) for head in heads]
        titles = [
            f"{n} {name if n == 1 else plural(name)}"
            for n, name in zip(present, names, strict=True)
        ]
        yield ""
        yield align(["", *titles], *columns)
        if any(head.ranking for head in heads):
            for metric, title in RANKING_TITLES.items():
                cells = [
                    _interval(getattr(head.ranking, metric)) if head.ranking else "-"
                    for head in heads
                ]
                yield align([title, *cells], *columns)
        for metric, title in TITLES.items():
            yield align([title, *(_interval(getattr(head, metric)) for head in heads)], *columns)
        if all(head.calibration is not None for head in heads):
            errors = [f"{head.calibration.error:.3f}" for head in heads if head.calibration]
            yield align(["calib. error", *errors], *columns)
    if scores.unknown is not None:
        yield from wrap(_unknown(scores.unknown))
    for level, head in scores.heads.items():
        name = plural(level)
        if head.ranking:
            yield from wrap(
                f"{name}: a clip has any number of labels; precision, recall and F1 are those at "
                "the thresholds of the classes; accuracy is the share of clips whose classes are "
                "all right"
            )
        if head.n < scores.clips:
            yield f"{name} are scored on the {counted(head.n, 'clip')} with such a label"
        if head.accuracy.low is None and head.groups == 1:
            yield f"{name}: all clips are of one group, so there is no interval"
        elif head.accuracy.low == 1 and head.groups and not head.ranking:
            # Rule of three: without an error in G trials the 95 % bound on the rate is 3 / G.
            bound = _round_down(min(100, 300 / head.groups))
            yield from wrap(
                f"{name}: without an error the interval is a point; an error rate of "
                f"{bound:g} % is not ruled out by {head.groups} groups (3 / {head.groups})"
            )


def _unknown(unknown: UnknownScores) -> str:
    """One sentence on known sounds, and one on sounds of no class."""
    rejected = 100 * (1 - unknown.kept)
    text = f"{rejected:.0f} % of {counted(unknown.known, 'known clip')} are rejected as unknown"
    if unknown.false_alarms is not None:
        alarms = f"{100 * unknown.false_alarms:.0f} % of {counted(unknown.negatives, 'clip')}"
        text += f"; {alarms} of no class are taken for a class (false alarms)"
    if unknown.recognised is not None:
        found = f"{100 * unknown.recognised:.0f} % of {counted(unknown.foreign, 'clip')}"
        text += (
            f"; {found} of foreign classes are recognised as unknown (AUROC {unknown.auroc:.3f})"
        )
    return text


def _pairs(heads: Iterable[str]) -> list[list[str]]:
    """Two heads at a time, the most that 80 columns hold."""
    names = list(heads)
    return [names[start : start + 2] for start in range(0, len(names), 2)]


def _source(scores: Scores | FoldSummary) -> str:
    """How coarse levels were read."""
    source = SOURCES.get(scores.category_source, scores.category_source)
    if len(scores.heads) < 3:
        return f"category read from {source}"
    return f"each coarse level read from {source.replace('events', 'finer labels')}"


def _round_down(value: float, digits: int = 3) -> float:
    """A positive number rounded down to some significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return math.floor(value / unit + 1e-9) * unit


def _interval(metric: Interval) -> str:
    if metric.low is None or metric.high is None:
        return f"{metric.value:.3f}  -"
    return f"{metric.value:.3f}  [{metric.low:.3f}, {metric.high:.3f}]"


def _classes(name: str, head: HeadScores, limit: int) -> Iterator[str]:
    if not limit:
        return
    multi = head.ranking is not None
    ranked = sorted(
        (entry for entry in head.per_class if entry.support),
        key=lambda entry: (
            *(_average(entry) if multi else entry.f1, entry.recall),
            *(-entry.support, entry.label),
        ),
    )
    columns = MULTI_CLASS_COLUMNS if multi else CLASS_COLUMNS
    names = [*(["AP"] if multi else []), "precision", "recall", "F1", "clips"]
    yield align([f"{name}, worst first", *names], *columns)
    for entry in ranked[:limit]:
        values = [entry.precision, entry.recall, entry.f1]
        cells = [f"{value:.3f}" for value in values]
        if multi:
            cells.insert(0, "-" if entry.average_precision is None else f"{_average(entry):.3f}")
        yield align([entry.label, *cells, str(entry.support)], *columns)
    if len(ranked) > limit:
        yield f"  ... and {len(ranked) - limit} more, none of them worse"
    if absent := [entry.label for entry in head.per_class if not entry.support]:
        text = f"  {len(absent)} of {len(head.labels)} without a clip, not in the means: "
        yield from wrap(text + listed(absent, ABSENT), indent="  ")


def _average(entry: ClassScore) -> float:
    """The average precision; 1 for a class that has none, so that it is not among the worst."""
    return 1.0 if entry.average_precision is None else entry.average_precision


def _confusions(name: str, head: HeadScores, limit: int) -> Iterator[str]:
    support = [entry.support for entry in head.per_class]
    pairs = [
        (count, true, other)
        for true, row in enumerate(head.confusion)
        for other, count in enumerate(row)
        if count and other != true
    ]
    if not (pairs and limit):
        return
    pairs.sort(key=lambda pair: (-pair[0], support[pair[1]], pair[1], pair[2]))
    errors = sum(count for count, _, _ in pairs)
    yield f"{name}, largest confusions ({errors} of {counted(head.n, 'clip')} wrong)"
    for count, true, other in pairs[:limit]:
        cells = ["", head.labels[true], " -> ", head.labels[other], str(count)]
        yield align([*cells, f" of {support[true]}"], *CONFUSION_COLUMNS)
    if len(pairs) > limit:
        rest = sum(count for count, _, _ in pairs[limit:])
        yield f"  ... and {counted(len(pairs) - limit, 'more pair')} ({counted(rest, 'clip')})"


def _folds(summary: FoldSummary) -> Iterator[str]:
    yield from wrap(
        f"{counted(len(summary.names), 'fold')}, {counted(sum(summary.clips), 'clip')}; "
        f"{_source(summary)}"
    )
    for names in _pairs(summary.heads):
        yield ""
        titles = ["", *(f"  {plural(name)} (macro)" for name in names)]
        yield align(titles, *FOLD_HEADS[: len(titles)])
        heads = [summary.heads[name] for name in names]
        yield from _fold_table(summary, [getattr(head, x) for head in heads for x in TITLES])


def _fold_table(summary: FoldSummary, spreads: Sequence[Spread]) -> Iterator[str]:
    columns = FOLD_COLUMNS[: 2 + len(spreads)]
    short = ["prec", "recall", "F1", "acc"] * (len(spreads) // len(TITLES))
    yield align(["fold", "clips", *short], *columns)
    for index, (name, clips) in enumerate(zip(summary.names, summary.clips, strict=True)):
        values = [f"{metric.values[index]:.3f}" for metric in spreads]
        yield align([name, str(clips), *values], *columns)
    yield align(["mean", "", *(f"{metric.mean:.3f}" for metric in spreads)], *columns)
    deviations = [metric.deviation for metric in spreads]
    values = ["-" if value is None else f"{value:.3f}" for value in deviations]
    yield align(["std", "", *values], *columns)
