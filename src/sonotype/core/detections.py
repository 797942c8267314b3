"""What a detector finds in a recording: events with a start, an end, a class and a score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class DetectedEvent:
    """An event that a model detected.

    Attributes:
        start: in seconds from the start of the recording.
        end: in seconds.
        label: class.
        score: calibrated probability from 0 to 1.
        low: lowest frequency in Hz; ``None`` if it is not known.
        high: highest frequency in Hz; ``None`` likewise.
    """

    start: float
    end: float
    label: str
    score: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class DetectedRecording:
    """The events of one recording.

    Attributes:
        path: the sound file.
        seconds: its length; 0 if it cannot be read.
        events: sorted by start, end and label.
        highest: highest frequency of the input of the model in Hz: half of its sample rate.
        error: why the recording could not be read, or not to its end; empty if it was read. The
            events before the error are kept.
    """

    path: Path
    seconds: float
    events: tuple[DetectedEvent, ...]
    highest: float
    error: str = ""


@dataclass(frozen=True, eq=False)
class ScoreBlock:
    """Scores of consecutive frames of a recording; the next block begins where this one ends.

    Attributes:
        times: ``[frames + 1]`` boundaries of the frames in seconds.
        scores: ``[frames, classes]`` probabilities.
    """

    times: npt.NDArray[np.float64]
    scores: npt.NDArray[np.floating]
