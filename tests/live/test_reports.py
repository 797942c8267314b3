"""Which events are reported."""

from __future__ import annotations

import numpy as np

from sonotype.core.detections import DetectedEvent, ScoreBlock
from sonotype.live.reports import Onsets, Pause


def test_a_pause_between_events_of_a_class() -> None:
    pause = Pause(5)
    events = [(0, 1, "dog"), (5.9, 7, "dog"), (2, 3, "cat"), (6, 6.5, "dog"), (11.4, 12, "dog")]
    kept = [one for one in events if pause.lets(DetectedEvent(*one, 0.5))]
    assert kept == [(0, 1, "dog"), (2, 3, "cat"), (6, 6.5, "dog")]
    assert pause.left_out == {"dog": 2}
    assert all(Pause(0).lets(DetectedEvent(0, 1, "dog", 0.5)) for _ in range(3))


def test_onsets_across_blocks() -> None:
    onsets = Onsets(("a", "b"), (0.5, 0.9), Pause(0))
    first = ScoreBlock(np.array([0.0, 1, 2]), np.array([[0.1, 0.8], [0.5, 0.9]]))
    second = ScoreBlock(np.array([2.0, 3, 4, 5]), np.array([[0.9, 0.1], [0.2, 0.1], [0.7, 0.1]]))
    found = [(e.start, e.end, e.label, e.score) for e in onsets.add(first)]
    assert found == [(1, 2, "a", 0.5), (1, 2, "b", 0.9)]
    assert [(e.start, e.end, e.label, e.score) for e in onsets.add(second)] == [(4, 5, "a", 0.7)]


def test_the_pause_of_onsets_counts_from_the_end() -> None:
    onsets = Onsets(("a",), (0.5,), Pause(3))
    above = [1, 1, 1, 1, 0, 1, 1, 0, 1, 0, 0]  # ends at 4, 7 and 9 s
    blocks = [(0, 3), (3, 11)]
    found = []
    for first, end in blocks:
        scores = np.array(above[first:end], float)[:, None]
        found += onsets.add(ScoreBlock(np.arange(first, end + 1, dtype=float), scores))
    assert [one.start for one in found] == [0, 8], "5 s is within 3 s of 4 s, and reports nothing"
