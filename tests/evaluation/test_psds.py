"""PSDS, and all scores of detection compared with those of sed_scores_eval.

The package needs a compiler and is not among the pinned dependencies: where it is not installed,
the comparisons are skipped.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sonotype.core.annotations import Event
from sonotype.core.detections import DetectedEvent
from sonotype.core.errors import DataError, MissingExtraError, OptionsError
from sonotype.core.event_matching import matched
from sonotype.evaluation.event_counts import EventScoreOptions, count_events
from sonotype.evaluation.psds import MAX_FRAMES, psds, require_sed
from sonotype.evaluation.sound_events import (
    RecordingDetections,
    score_events,
)

CLASSES = [f"class {index}" for index in range(6)]
THRESHOLD = 0.5

needs_sed = pytest.mark.skipif(
    importlib.util.find_spec("sed_scores_eval") is None,
    reason="sed_scores_eval (sonotype[sed]) is not installed",
)


def events_of_scores(times: np.ndarray, scores: np.ndarray) -> list[DetectedEvent]:
    """The runs of frames above the threshold."""
    found = []
    for label, column in zip(CLASSES, scores.T, strict=False):
        start = None
        for frame, on in enumerate([*(column >= THRESHOLD), False]):
            if on and start is None:
                start = frame
            elif not on and start is not None:
                peak = float(column[start:frame].max())
                found.append(DetectedEvent(float(times[start]), float(times[frame]), label, peak))
                start = None
    return found


def random_recording(
    generator: np.random.Generator, name: str, reference: bool, detected: bool, classes: int = 6
) -> RecordingDetections:
    """Smooth scores that follow events with a random error; events of one class do not touch."""
    frames = int(generator.integers(40, 90))
    times = np.arange(frames + 1) / 10
    events, active = [], np.zeros((frames, classes))
    for index in range(classes if reference else 0):
        ends = np.unique(generator.integers(0, frames, 2 * int(generator.integers(0, 4))))
        for start, end in ends[: len(ends) // 2 * 2].reshape(-1, 2).tolist():
            events.append(Event(times[start], times[end], CLASSES[index]))
            active[start:end, index] = 1
    noise = generator.normal(size=(frames + 4, classes))
    noise = sum(noise[at : at + frames] for at in range(5)) / 5
    scores = (0.3 + 0.4 * np.roll(active, generator.integers(-2, 3), axis=0) + 0.35 * noise).clip(
        0, 1 if detected else 0.49
    )
    return RecordingDetections(
        name,
        "",
        ((0.0, float(times[-1])),),
        tuple(events),
        tuple(events_of_scores(times, scores)),
        times,
        scores,
    )


def random_recordings(seed: int, classes: int = 6) -> list[RecordingDetections]:
    """Among them recordings without reference events, without detections, and without both."""
    generator = np.random.default_rng(seed)
    kinds = [(True, True)] * 7 + [(False, True), (True, False), (False, False)]
    found = [
        random_recording(generator, f"{index}.wav", *kind, classes)
        for index, kind in enumerate(kinds)
    ]
    assert {event.label for one in found for event in one.reference} == set(CLASSES[:classes])
    return found


def as_their_input(recordings: Sequence[RecordingDetections]) -> tuple[dict, dict, dict]:
    """Scores, ground truth and durations for sed_scores_eval; columns in the order of classes."""
    import pandas as pd

    class Writable(pd.DataFrame):
        _constructor = property(lambda self: Writable)

        def to_numpy(self, *args: Any, **options: Any) -> np.ndarray:
            return super().to_numpy(*args, **options).copy()

    scores, truth, seconds = {}, {}, {}
    for one in recordings:
        columns = dict(zip(CLASSES, one.scores.T, strict=False))
        scores[one.name] = Writable({"onset": one.times[:-1], "offset": one.times[1:], **columns})
        truth[one.name] = [
            (float(event.start), float(event.end), event.label) for event in one.reference
        ]
        seconds[one.name] = float(one.times[-1])
    return scores, truth, seconds


@needs_sed
@pytest.mark.parametrize("seed", range(6))
def test_f1_is_that_of_sed_scores_eval(seed: int) -> None:
    sed = require_sed()
    recordings = random_recordings(seed)
    options = EventScoreOptions(offset_collar_rate=0.5 if seed % 2 else 0.2, gtc=0.3)
    ours = score_events(recordings, CLASSES, options, resamples=0)
    scores, truth, seconds = as_their_input(recordings)
    theirs = {
        "event_based": sed.collar_based.fscore(
            scores,
            truth,
            THRESHOLD,
            onset_collar=0.2,
            offset_collar=0.2,
            offset_collar_rate=options.offset_collar_rate,
        ),
        "segment_based": sed.segment_based.fscore(
            scores, truth, seconds, THRESHOLD, segment_length=1.0
        ),
        "intersection_based": sed.intersection_based.fscore(
            scores, truth, THRESHOLD, dtc_threshold=0.5, gtc_threshold=0.3
        ),
    }
    for name, (f1, precision, recall, _) in theirs.items():
        average = getattr(ours, name)
        assert average.macro.value == pytest.approx(f1["macro_average"], abs=1e-12)
        assert average.micro.value == pytest.approx(f1["micro_average"], abs=1e-12)
        for label, one in zip(CLASSES, ours.per_class, strict=True):
            rates = getattr(one, name)
            assert rates.f1 == pytest.approx(f1[label], abs=1e-12)
            assert rates.recall == pytest.approx(recall[label], abs=1e-12)
            # Without a detection the package says 1, and we say that it is not defined.
            assert (1 if rates.precision is None else rates.precision) == pytest.approx(
                precision[label], abs=1e-12
            )
    assert 0.2 < ours.event_based.macro.value < 0.9  # neither trivial nor perfect


@needs_sed
@pytest.mark.parametrize("seed", range(40))
def test_counts_of_overlapping_detections_are_those_of_sed_scores_eval(seed: int) -> None:
    """Its functions below the tables of scores take any detections."""
    require_sed()
    from sed_scores_eval.collar_based.intermediate_statistics import statistics_fn as by_collar
    from sed_scores_eval.intersection_based.intermediate_statistics import (
        statistics_fn as by_intersection,
    )

    generator = np.random.default_rng(seed)
    options = EventScoreOptions()
    starts = generator.integers(0, 60, 25)
    detected = np.stack([starts, starts + generator.integers(1, 9, 25)], axis=1) * 10**5
    onsets = generator.integers(0, 60, 25)
    reference = np.stack([onsets, onsets + generator.integers(1, 9, 25)], axis=1) * 10**5
    none = {"other_onset_times": {}, "other_offset_times": {}}
    times = (detected.T[:, None] / 10**6, reference.T / 10**6)
    theirs = by_collar(
        *times[0], *times[1], **none, onset_collar=0.2, offset_collar=0.2, offset_collar_rate=0.2
    )
    assert matched(reference, detected, options) == theirs["tps"][0] > 0

    # They count a common part of two events twice: compare events that do not overlap.
    def apart(most: int) -> np.ndarray:
        return np.sort(generator.choice(100, 2 * most, replace=False)).reshape(-1, 2) * 10**5

    reference, detected = apart(12), apart(14)
    theirs = by_intersection(
        *(detected.T[:, None] / 10**6), *(reference.T / 10**6), **none,
        dtc_threshold=0.5, gtc_threshold=0.5, cttc_threshold=None,
    )  # fmt: skip
    counts = count_events([reference], [detected], np.array([[0, 10**7]]), options)
    assert counts.scores[0, 2, :2].tolist() == [theirs["tps"][0], theirs["fps"][0]]


@needs_sed
@pytest.mark.parametrize("seed", range(3))
def test_psds_are_those_of_a_direct_call(seed: int) -> None:
    sed = require_sed()
    recordings = random_recordings(seed)
    inputs = as_their_input(recordings)
    direct = {
        "PSDS1": sed.intersection_based.psds(
            *inputs, dtc_threshold=0.7, gtc_threshold=0.7, alpha_st=1.0, max_efpr=100.0
        ),
        "PSDS2": sed.intersection_based.psds(
            *inputs, dtc_threshold=0.1, gtc_threshold=0.1, cttc_threshold=0.3,
            alpha_ct=0.5, alpha_st=1.0, max_efpr=100.0,
        ),
    }  # fmt: skip
    found = psds(recordings, CLASSES)
    assert found == pytest.approx({name: value[0] for name, value in direct.items()}, abs=1e-9)
    assert score_events(recordings, CLASSES, resamples=0, psds=True).psds == found


def perfect(
    labels: Sequence[str] = CLASSES[:2], spans: tuple[tuple[float, float], ...] = ((0.0, 6.0),)
) -> RecordingDetections:
    """Scores of 0.9 where an event is, and 0.1 elsewhere."""
    events = tuple(Event(1.0 + at, 3.0 + at, label) for at, label in enumerate(labels))
    times = np.arange(61) / 10
    scores = np.full((60, len(CLASSES)), 0.1)
    for event in events:
        scores[round(10 * event.start) : round(10 * event.end), CLASSES.index(event.label)] = 0.9
    return RecordingDetections("a.wav", "", spans, events, (), times, scores)


@needs_sed
@pytest.mark.parametrize("labels", [CLASSES[:1], CLASSES[:3]])
def test_perfect_scores(labels: list[str]) -> None:
    """Also of a single class, which has no other class to trigger."""
    assert psds([perfect(labels)], CLASSES) == {"PSDS1": 1, "PSDS2": 1}


@needs_sed
def test_reversed_scores_find_nothing_without_false_alarms() -> None:
    one = perfect()
    wrong = replace(one, scores=1 - one.scores)
    assert psds([wrong], CLASSES)["PSDS1"] == 0


@needs_sed
def test_a_false_detection_where_another_class_is_active_costs_more_in_psds2() -> None:
    """It is one in 1 h, and 40 % of it lie in the 2 s of the other class: 1800 in an hour."""
    one = perfect(spans=((0.0, 30.0), (100.0, 3670.0)))
    scores = np.concatenate([one.scores, one.scores[-1:]])  # a last frame, from 6 to 30 s
    scores[36:46, 0] = 0.99
    found = psds([replace(one, times=np.append(one.times, 30.0), scores=scores)], CLASSES)
    assert found == {"PSDS1": pytest.approx(0.99), "PSDS2": 0}


@needs_sed
def test_events_that_touch_or_overlap_are_joined() -> None:
    one = perfect()
    first = one.reference[0]
    parts = (replace(first, end=2.0), replace(first, start=2.0), replace(first, start=2.5))
    assert psds([replace(one, reference=(*parts, one.reference[1]))], CLASSES) == psds(
        [one], CLASSES
    )


@needs_sed
def test_only_the_spans_count() -> None:
    """A wrong peak outside of the spans costs nothing; a span without frames finds nothing."""
    one = perfect(spans=((0.0, 5.0),))
    scores = one.scores.copy()
    scores[52:56] = 0.99
    assert psds([replace(one, scores=scores)], CLASSES) == {"PSDS1": 1, "PSDS2": 1}
    assert psds([replace(one, scores=scores, spans=((0.0, 6.0),))], CLASSES)["PSDS1"] < 1
    late = Event(21.0, 22.0, CLASSES[0])
    spans = ((0.0, 5.0), (20.0, 25.0))
    half = psds([replace(one, spans=spans, reference=(*one.reference, late))], CLASSES)
    # One class is found in half of its events: mean 3/4, less the standard deviation 1/4.
    assert half["PSDS1"] == pytest.approx(0.5)


@needs_sed
def test_classes_that_the_model_lacks_are_not_scored() -> None:
    one = perfect()
    foreign = replace(one, reference=(*one.reference, Event(4.0, 5.0, "fox")))
    assert psds([foreign], CLASSES) == psds([one], CLASSES)


@needs_sed
def test_what_cannot_be_computed_is_an_error_and_a_note_in_the_scores() -> None:
    one = perfect()
    empty = replace(one, times=np.empty(0), scores=np.empty((0, 0)))
    times = np.arange(MAX_FRAMES + 2) / 1000
    long = replace(one, times=times, scores=np.zeros((MAX_FRAMES + 1, len(CLASSES))))
    for recordings, word in (
        ([one, empty], "1 of 2 recordings"),
        ([replace(one, reference=())], "no reference events"),
        ([long], str(MAX_FRAMES)),
    ):
        with pytest.raises(OptionsError, match=word):
            psds(recordings, CLASSES)
        scores = score_events(recordings, CLASSES, resamples=0, psds=True)
        assert scores.psds is None
        assert word in scores.notes[-1]


def test_psds_are_computed_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sed_scores_eval", None)
    scores = score_events([perfect()], CLASSES, resamples=0)
    assert (scores.psds, scores.notes) == (None, ())


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sed_scores_eval", None)
    with pytest.raises(MissingExtraError, match=r"sonotype\[sed\]"):
        psds([perfect()], CLASSES)
    with pytest.raises(MissingExtraError, match=r"sonotype\[sed\]"):
        score_events([perfect()], CLASSES, resamples=0, psds=True)


def test_scores_that_are_not_finite_are_refused_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sed_scores_eval", None)
    one = perfect()
    one.scores[3, 0] = np.nan
    with pytest.raises(DataError, match="1 frame of 60"):
        psds([one], CLASSES)
