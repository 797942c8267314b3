"""Events as label files can hold them, whatever the format."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.detect.writers.event_rows import rounded, utf8_text

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that end a line or a cell in one program or another."""


def label_events(recording: DetectedRecording) -> Iterator[DetectedEvent]:
    """The events with times in microseconds, cut at the ends of the recording.

    Events without a length are left out: the formats have no place for them, or read them as
    points. Tabs, line ends and other control characters of a label become blanks.
    """
    length = recording.seconds or math.inf
    for event in recording.events:
        start, end = rounded(max(event.start, 0.0)), rounded(min(event.end, length))
        if start < end:
            yield replace(event, start=start, end=end, label=one_line(event.label))


def one_line(text: str) -> str:
    """The text with a blank for each control character."""
    return _CONTROL.sub(" ", utf8_text(text))


def band(event: DetectedEvent, recording: DetectedRecording) -> tuple[float, float]:
    """Lowest and highest frequency of an event in Hz: those of the model if it does not tell."""
    return (
        0.0 if event.low is None else event.low,
        recording.highest if event.high is None else event.high,
    )
