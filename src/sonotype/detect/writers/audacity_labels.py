"""Label tracks of Audacity.

The label is the class alone: Audacity would keep a score in the label as a part of its text.
"""

from __future__ import annotations

from collections.abc import Iterator

from sonotype.core.detections import DetectedRecording
from sonotype.detect.writers.event_rows import decimal_text
from sonotype.detect.writers.label_events import band, label_events


def audacity_labels(recording: DetectedRecording) -> str:
    """A line with start, end and label for each event, and a line with its frequencies, if known.

    Without events the text is empty, as Audacity exports an empty track.
    """
    return "".join(_lines(recording))


def _lines(recording: DetectedRecording) -> Iterator[str]:
    for event in label_events(recording):
        yield f"{decimal_text(event.start)}\t{decimal_text(event.end)}\t{event.label}\n"
        if event.low is not None or event.high is not None:
            low, high = map(decimal_text, band(event, recording))
            yield f"\\\t{low}\t{high}\n"
