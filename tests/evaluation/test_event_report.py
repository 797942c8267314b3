"""Scores of sound event detection as text and as CSV."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sonotype.core.annotations import Event
from sonotype.core.detections import DetectedEvent
from sonotype.core.errors import OptionsError
from sonotype.core.text import width
from sonotype.evaluation.event_report import event_report, write_event_csv
from sonotype.evaluation.sound_events import (
    EventScores,
    RecordingDetections,
    score_events,
)

CLASSES = [f"bird number {index:02d} of the forest" for index in range(14)]


def some_scores(groups: int = 3, classes: int = 14) -> EventScores:
    """Class k has one event in each recording, and is found in those with a number of k or more."""
    recordings = []
    for index in range(groups):
        events = [
            Event(2.0 * at, 2.0 * at + 1, label) for at, label in enumerate(CLASSES[: classes - 2])
        ]
        found = [
            DetectedEvent(event.start, event.end, event.label, 0.9)
            for at, event in enumerate(events)
            if index >= at
        ]
        found.append(DetectedEvent(5.0, 6.0, CLASSES[classes - 1], 0.8))
        recordings.append(
            RecordingDetections(
                f"{index}.wav",
                f"g{index}",
                ((0.0, 36.0),),
                tuple(events),
                tuple(found),
                np.empty(0),
                np.empty((0, 0)),
            )
        )
    return score_events(recordings, CLASSES[:classes])


def test_lines_fit_a_terminal_and_hold_the_scores() -> None:
    scores = replace(some_scores(), psds={"PSDS1": 0.1234, "PSDS2": 0.5}, notes=("a note " * 20,))
    text = event_report(scores)
    lines = text.splitlines()
    assert max(map(width, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)
    assert lines[0].startswith("note: a note")
    assert "0.03 h of 3 recordings in 3 groups; 36 events, 9 detected" in text
    macro = scores.event_based.macro
    assert f"{macro.value:.3f}  [{macro.low:.3f}, {macro.high:.3f}]" in text
    assert "100.00  [100.00, 100.00]" in text  # one false alarm in 36 s
    assert "PSDS1                   0.123" in text
    assert "onset within 0.2 s" in text


def test_the_worst_classes_come_first() -> None:
    lines = event_report(some_scores()).splitlines()
    start = next(at for at, line in enumerate(lines) if "worst first" in line)
    shown = lines[start + 1 : start + 11]
    assert all(line.split()[-2:] == ["0.000", "0.00"] for line in shown[:9])
    assert shown[9].split()[-8:] == ["3", "1", "1.000", "0.333", "0.500", "0.500", "0.500", "0.00"]
    assert "2 more" in lines[start + 11]
    assert "2 of 14 classes without an event" in lines[start + 12]
    assert " 3" in lines[start + 13]  # detections of the class without an event


def test_few_classes() -> None:
    lines = event_report(some_scores(classes=4)).splitlines()
    assert not any("more" in line for line in lines)
    assert not event_report(some_scores(classes=4), classes=0).count("worst first")


def test_undefined_values_and_a_single_group() -> None:
    nothing = RecordingDetections("a", "", (), (), (), np.empty(0), np.empty((0, 0)))
    text = event_report(score_events([nothing], ["dog"]))
    assert "nan" not in text
    assert "no interval" in text
    assert "1 of 1 classes without an event" in text
    assert "macro (0 classes)" in text


def test_a_row_for_each_class(tmp_path: Path) -> None:
    scores = some_scores(classes=5)
    write_event_csv(tmp_path / "new" / "classes.csv", scores)
    with (tmp_path / "new" / "classes.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows] == CLASSES[:5]
    assert (rows[1]["reference"], rows[1]["detected"]) == ("3", "2")
    assert (rows[1]["event_based_recall"], rows[1]["intersection_based_f1"]) == ("0.6667", "0.8000")
    assert (rows[4]["segment_based_precision"], rows[4]["segment_based_f1"]) == ("0.0000", "")
    assert rows[4]["false_alarms_per_hour"] == "100.0000"
    assert rows[4]["cross_triggers"] == "0"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionsError, match="cannot be written"):
        write_event_csv(tmp_path / "file" / "classes.csv", some_scores(classes=4))
