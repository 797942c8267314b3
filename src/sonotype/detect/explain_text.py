"""The explanation of a detection as text for a terminal: at most 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sonotype.core.text import align, clock, counted, duration, probability, shorten, wrap
from sonotype.detect.explain_advice import advise, exact, percent
from sonotype.detect.explain_summary import NEAR, SAME, ClassSummary, Level, Summary

CLASSES = 5
"""Classes in each table."""

LIKE = 4
"""Classes that the background resembles."""

MOST_ADVICE = 4
TOP = 0.01
"""Share of the frames whose least score is shown as ``top 1 %``."""

CLASS_COLUMNS = (24, -10, -9, -9, -9, -9, -9)
MOMENT_COLUMNS = (-6, -11, -10, 2, 20, 1, 30)
RUN_COLUMNS = (15, -13, -13, -13, -13, -13)


def render(summary: Summary, edges: Sequence[float]) -> str:
    """The explanation.

    Args:
        summary: the statistics.
        edges: of the bins of the histograms in log-odds.
    """
    blocks = [list(_head(summary))]
    if summary.frames:
        shown = sorted(summary.classes, key=_rank)[:CLASSES]
        blocks += [
            list(_class_table(summary, shown, edges)),
            list(_moments(summary)),
            _background(summary),
            list(_run_table(summary, shown)),
        ]
    blocks.append(_advice(advise(summary)))
    return "\n\n".join("\n".join(map(str.rstrip, block)) for block in blocks if block)


def _head(summary: Summary) -> Iterator[str]:
    found = sum(entry.events > 0 for entry in summary.classes)
    classes = len(summary.classes)
    unread = f" ({summary.errors:,} not read to the end)" if summary.errors else ""
    called = "" if summary.unit == "frame" else " (called frames here)"
    of = f"{classes} {'class' if classes == 1 else 'classes'}"
    yield from wrap(
        f"{counted(summary.recordings, 'recording')}{unread}, {duration(summary.seconds)}, "
        f"{counted(summary.frames, summary.unit)}{called}: "
        + (
            f"{counted(summary.events, 'event')} of {found} of {of}"
            if found
            else f"no event of {of}"
        )
    )
    if summary.frames:
        above, near = (percent(x, summary.frames) for x in (summary.above, summary.near))
        far = sum(not entry.levels[NEAR].frames for entry in summary.classes)
        yield from wrap(
            f"A class reaches its threshold in {above} of the frames, and comes near it in "
            f"{near} more. {far} of {classes} never come near. Near: at least 1/3 of "
            "the odds of the threshold, 0.25 for a threshold of 0.5."
        )


def _rank(entry: ClassSummary) -> tuple[float, float]:
    """Classes with most frames above the threshold, then those that come nearest."""
    return -entry.levels[SAME].frames, -_margin(entry)


def _margin(entry: ClassSummary) -> float:
    """Distance of the highest score from the threshold in log-odds."""
    highest, threshold = (min(max(x, 1e-6), 1 - 1e-6) for x in (entry.highest, entry.threshold))
    return math.log(highest / (1 - highest)) - math.log(threshold / (1 - threshold))


def _class_table(
    summary: Summary, shown: Sequence[ClassSummary], edges: Sequence[float]
) -> Iterator[str]:
    titles = ("class", "threshold", "events", "highest", "top 1 %", "above", "near")
    yield align(titles, *CLASS_COLUMNS)
    for entry in shown:
        above, near = entry.levels[SAME].frames, entry.levels[NEAR].frames
        cells = (
            entry.label,
            exact(round(entry.threshold, 4)),
            f"{entry.events:,}",
            probability(entry.highest),
            probability(top_score(entry.histogram, edges)),
            percent(above, summary.frames),
            percent(near - above, summary.frames),
        )
        yield align(cells, *CLASS_COLUMNS)


def top_score(histogram: Sequence[int], edges: Sequence[float]) -> float:
    """The score that at least 1 % of the frames reach, to the next lower edge of a bin."""
    least, frames = TOP * sum(histogram), 0
    for index in range(len(histogram) - 1, 0, -1):
        frames += histogram[index]
        if frames >= least:
            return 1 / (1 + math.exp(-edges[index]))
    return 0.0


def _moments(summary: Summary) -> Iterator[str]:
    if not summary.moments:
        return
    yield "Moments nearest to a threshold, or above it, without an event of the class:"
    yield align(("score", "threshold", "time", "", "class", "", "recording"), *MOMENT_COLUMNS)
    for moment in summary.moments:
        texts = (
            probability(moment.score),
            exact(round(moment.threshold, 4)),
            clock(moment.seconds),
            "",
            moment.label,
            "",
            moment.path,
        )
        yield align(texts, *MOMENT_COLUMNS)


def _background(summary: Summary) -> list[str]:
    share = percent(summary.frames - summary.above, summary.frames)
    means = [(one.background, one.label) for one in summary.classes if one.background is not None]
    if not means:
        return ["Background: a class reaches its threshold in every frame."]
    means.sort(key=lambda pair: (-pair[0], pair[1]))
    like = ", ".join(f"{shorten(label, 30)} {probability(mean)}" for mean, label in means[:LIKE])
    return wrap(
        f"Background: in {share} of the frames no class reaches its threshold. "
        f"These sound most like (mean score): {like}."
    )


def _run_table(summary: Summary, shown: Sequence[ClassSummary]) -> Iterator[str]:
    yield "Runs of frames at or above other thresholds (a count of runs, not of events:"
    yield "no smoothing, no shortest duration). Each cell: threshold, number of runs."
    yield align(("odds", "x 1/9", "x 1/3", "as set", "x 3", "x 9"), *RUN_COLUMNS)
    for entry in shown:
        yield align((entry.label, *map(_cell, entry.levels)), *RUN_COLUMNS)
    if len(summary.classes) > 1:
        levels = zip(*(entry.levels for entry in summary.classes), strict=True)
        totals = [_short(sum(one.runs for one in level)) for level in levels]
        yield align(("all classes", *totals), *RUN_COLUMNS)


def _cell(level: Level) -> str:
    return f"{exact(round(level.threshold, 4))}: {_short(level.runs)}"


def _short(number: int) -> str:
    """A number in at most five characters: 99999, 123k, 12M."""
    if number < 100_000:
        return str(number)
    return f"{number // 1000}k" if number < 10_000_000 else f"{number // 1_000_000}M"


def _advice(advice: Sequence[str]) -> list[str]:
    lines = ["Advice:"]
    for sentence in advice[:MOST_ADVICE]:
        first, *rest = wrap(sentence, "  ")
        lines += [f"- {first}", *rest]
    return lines
