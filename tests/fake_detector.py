"""A detector without a model, and a job with it in a process that may be killed.

``python fake_detector.py OUT DELAY OPTIONS SOUND...`` detects slowly.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.audio.stream import stream
from sonotype.core.detections import DetectedEvent, DetectedRecording, ScoreBlock
from sonotype.core.errors import AudioError
from sonotype.detect.job import JobSummary, OnBlock, detect_recordings
from sonotype.detect.output_names import name_recordings
from sonotype.detect.output_options import OutputOptions

CLASSES = ("dog", "rain/heavy", "test")


class FakeDetector:
    """Detects a few events that depend on the samples alone.

    Args:
        options: stand for model and options.
        delay: seconds for each recording.
    """

    def __init__(self, options: str = "", delay: float = 0.0) -> None:
        self.digest = f"fake {options}"
        self.classes = tuple(label + options for label in CLASSES)
        self.thresholds = (0.5,) * len(CLASSES)
        self.scored, self.from_frames = "scores of a fake", True
        self._options, self._delay = options, delay
        self.read: list[Path] = []

    def detect(self, path: Path, *, on_block: OnBlock | None = None) -> DetectedRecording:
        self.read.append(path)
        events: list[DetectedEvent] = []
        seconds, error = 0.0, ""
        try:
            for samples in stream(path, sample_rate=8000, block=8000):
                end = seconds + len(samples) / 8000
                if on_block:
                    scores = np.full((1, len(CLASSES)), 0.5)
                    on_block(ScoreBlock(np.array([seconds, end]), scores))
                label = CLASSES[int(1000 * abs(float(samples[0]))) % len(CLASSES)]
                events.append(
                    DetectedEvent(seconds, end, label + self._options, float(samples.max()))
                )
                seconds = end
                time.sleep(self._delay)
        except AudioError as failure:
            error = failure.cause
        return DetectedRecording(path, seconds, tuple(events), 4000.0, error)


class FakeTimeline:
    """Counts the blocks in place of a picture."""

    def __init__(self, *_: object) -> None:
        self.blocks = 0

    def add(self, block: ScoreBlock) -> None:
        self.blocks += 1

    def save(self, path: Path, recording: DetectedRecording) -> None:
        path.write_text(f"{self.blocks} {len(recording.events)}")


def job(
    inputs: list[Path], out: Path, *, detector: FakeDetector | None = None,
    causes: dict[Path, str] | None = None, **options: Any,
) -> JobSummary:  # fmt: skip
    """Run a job on sounds and folders of WAV and FLAC files."""
    found = causes or {
        file: ""
        for path in inputs
        for file in (sorted(path.rglob("*.[wf][al]*")) if path.is_dir() else [path])
    }
    return detect_recordings(
        detector or FakeDetector(),
        name_recordings(found, inputs),
        out,
        OutputOptions(**options),
        new_timeline=FakeTimeline,
    )


if __name__ == "__main__":
    job(
        [Path(name) for name in sys.argv[4:]],
        Path(sys.argv[1]),
        detector=FakeDetector(delay=float(sys.argv[2])),
        **json.loads(sys.argv[3]),
    )
