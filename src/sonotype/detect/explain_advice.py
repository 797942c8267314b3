"""Advice from the statistics of a detection, in plain sentences.

A threshold is only advised with the number of runs of frames that was counted at exactly this
threshold.
"""

from __future__ import annotations

import shlex

from sonotype.core.text import probability, shorten, width
from sonotype.detect.explain_summary import NEAR, SAME, ClassSummary, Level, Summary

PRESENT = 0.5
"""A class above its threshold in this share of the frames is probably the background."""

ANY_PRESENT = 0.8
"""Likewise of frames in which any class is above its threshold."""

RARE = 0.1
"""Share of the frames that a raised threshold should leave."""

MANY_PER_HOUR = 120
"""Events of one class per hour that are probably too many."""

LEAST_HOURS = 1 / 60
"""Shorter recordings have no rate of events."""

NAMED, PRESENT_NAMED = 3, 2
"""Classes that are named in a sentence, and those that get their own sentence."""

LABEL_CELLS, OPTION_CELLS = 30, 50


def advise(summary: Summary) -> list[str]:
    """What the statistics suggest; at least one sentence."""
    if not summary.frames:
        return ["There are no scores: no recording could be read."]
    found = [*_nothing(summary), *_background(summary), *_many(summary), *_removed(summary)]
    if not found:
        found.append(
            "These numbers show no problem. To judge the thresholds, listen to the moments without "
            "an event and to some events with low scores."
        )
    return found


def percent(part: int, whole: int) -> str:
    """A share for display: 83 %, 1.2 %, <0.1 %."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.1:
        return "<0.1 %"
    if 99 < share < 100:
        return ">99 %"
    return f"{share:.0f} %" if share >= 10 or not share else f"{share:.1f} %"


def exact(threshold: float) -> str:
    """A threshold as it is typed: 0.25, 0.964."""
    return f"{threshold:.10g}"


def name(entry: ClassSummary) -> str:
    """The class for a sentence."""
    return shorten(entry.label, LABEL_CELLS)


def _option(entry: ClassSummary, level: Level) -> str:
    """How to set the threshold."""
    option = f"--threshold {shlex.quote(f'{entry.label}={exact(level.threshold)}')}"
    if width(option) > OPTION_CELLS:
        return f"a threshold of {exact(level.threshold)}"
    return option


def _runs(number: int) -> str:
    return f"{number:,} run of frames" if number == 1 else f"{number:,} runs of frames"


def _nothing(summary: Summary) -> list[str]:
    """If no score reaches a threshold: how near the scores come."""
    if summary.events or summary.above:
        return []
    near = [entry for entry in summary.classes if entry.levels[NEAR].runs]
    if near:
        near.sort(key=lambda entry: -entry.levels[NEAR].runs)
        names = ", ".join(f"{name(one)} ({one.levels[NEAR].runs:,})" for one in near[:NAMED])
        best = near[0]
        text = (
            f"No score reaches a threshold, but scores come near. Classes with most runs of such "
            f"frames: {names}. Listen to the moments above. If they are events, lower the "
            f"thresholds: {_option(best, best.levels[NEAR])} gives "
            f"{_runs(best.levels[NEAR].runs)}."
        )
        return [text]
    best = max(summary.classes, key=lambda entry: (entry.levels[0].runs, entry.highest))
    text = (
        f"No score comes near a threshold; the highest is {probability(best.highest)} for "
        f"{name(best)} (threshold {exact(best.threshold)}). The sounds are probably not those of "
        "the classes, or very quiet, or recorded in another way than the training recordings. "
    )
    if runs := best.levels[0].runs:
        return [
            f"{text}{_option(best, best.levels[0])} gives {_runs(runs)}, probably false events."
        ]
    return [f"{text}Lower thresholds would give false events."]


def _removed(summary: Summary) -> list[str]:
    """Classes that reach their threshold and have no event."""
    gone = [one for one in summary.classes if one.levels[SAME].runs and not one.events]
    if not gone:
        return []
    gone.sort(key=lambda entry: -entry.levels[SAME].runs)
    names = ", ".join(f"{name(one)} ({_runs(one.levels[SAME].runs)})" for one in gone[:NAMED])
    more = f" and {len(gone) - NAMED} more" if len(gone) > NAMED else ""
    text = (
        f"At or above the threshold, but without an event: {names}{more}. Post-processing removed "
        "the runs: smoothing, or a shortest duration that is too long."
    )
    return [text]


def _background(summary: Summary) -> list[str]:
    """Classes that are present most of the time."""
    whole = summary.frames
    present = [one for one in summary.classes if one.levels[SAME].frames >= PRESENT * whole]
    present.sort(key=lambda entry: -entry.levels[SAME].frames)
    found = []
    for entry in present[:PRESENT_NAMED]:
        share = percent(entry.levels[SAME].frames, whole)
        found.append(
            f"{name(entry)} is at or above its threshold in {share} of the frames. If it is not "
            "present all that time, the model takes the background for it: add recordings of the "
            f"background to the training data{_raised(entry, whole)}."
        )
    if more := len(present) - len(found):
        found[-1] += f" Likewise {more} more {'class' if more == 1 else 'classes'}."
    if not present and summary.above >= ANY_PRESENT * whole:
        most = sorted(summary.classes, key=lambda entry: -entry.levels[SAME].frames)[:NAMED]
        names = ", ".join(f"{name(one)} {percent(one.levels[SAME].frames, whole)}" for one in most)
        found.append(
            f"In {percent(summary.above, whole)} of the frames some class is at or above its "
            f"threshold (most often: {names}). If the recordings are not full of these classes, "
            "the model takes the background for several of them: add recordings of the background "
            "to the training data, or raise the thresholds."
        )
    return found


def _raised(entry: ClassSummary, frames: int) -> str:
    """The lowest tried threshold above which a class is rare; the end of a sentence."""
    for level in entry.levels[SAME + 1 :]:
        if level.threshold > entry.threshold and level.frames <= RARE * frames:
            share = percent(level.frames, frames)
            return (
                f", or raise the threshold: {_option(entry, level)} leaves {share} of the frames "
                f"in {_runs(level.runs)}"
            )
    last = entry.levels[-1]
    share = percent(last.frames, frames)
    return f"; a higher threshold is not enough, {exact(last.threshold)} leaves {share}"


def _many(summary: Summary) -> list[str]:
    """The class with most events, if it has too many per hour and is not the background."""
    hours = summary.seconds / 3600
    entry = max(summary.classes, key=lambda one: one.events)
    same = entry.levels[SAME]
    if hours < LEAST_HOURS or entry.events < MANY_PER_HOUR * hours:
        return []
    if same.frames >= PRESENT * summary.frames:
        return []
    text = f"{name(entry)} has {entry.events / hours:,.0f} events per hour."
    fewer = [one for one in entry.levels[SAME + 1 :] if one.runs <= same.runs / 2]
    if not fewer:
        return [f"{text} Higher thresholds do not halve the number."]
    option, left = _option(entry, fewer[0]), _runs(fewer[0].runs)
    return [
        f"{text} If many are false, raise the threshold: {option} leaves {left} of {same.runs:,}."
    ]
