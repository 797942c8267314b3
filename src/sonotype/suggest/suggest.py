"""From unlabelled recordings to the windows that are worth a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from sonotype.audio.stream import seconds_for_progress
from sonotype.core.errors import AudioError
from sonotype.core.hierarchy import head_of_level
from sonotype.core.progress import measure
from sonotype.detect.output_names import Recording
from sonotype.inference.classifier import Classifier
from sonotype.suggest.candidates import Candidate, Pool, candidates_of
from sonotype.suggest.choice import choose

PER_RECORDING, IN_ALL = 1000, 4000
"""Most candidates that are kept of a recording and of all recordings."""
UNSURE = 0.5
"""Uncertainty from which it is the reason of a suggestion."""

Reason = Literal["unknown", "unsure", "typical"]


@dataclass(frozen=True)
class Suggestion:
    """A window that is worth a label.

    Attributes:
        candidate: the window.
        similar: number of candidates for which it stands, itself included.
    """

    candidate: Candidate
    similar: int

    @property
    def reason(self) -> Reason:
        """Why it was chosen: probably no class, an unsure guess, or typical of many windows."""
        if self.candidate.is_unknown:
            return "unknown"
        return "unsure" if self.candidate.uncertainty >= UNSURE else "typical"


@dataclass(frozen=True)
class Suggestions:
    """The suggestions from some recordings.

    Attributes:
        chosen: the most useful first.
        windows: number of windows that were classified.
        seconds: of sound that was read.
        failures: recordings that could not be read, or not to their end, and the causes.
    """

    chosen: tuple[Suggestion, ...]
    windows: int
    seconds: float
    failures: tuple[tuple[Recording, str], ...]


def suggest(
    model: Classifier, recordings: Sequence[Recording], number: int, *, hop: float, level: str = ""
) -> Suggestions:
    """Choose windows whose labels would help the model most.

    Args:
        model: classifies the windows.
        recordings: long recordings, or clips, which are one window each.
        number: of windows.
        hop: seconds from one window to the next; 0 for the length of a window.
        level: name of the head; empty for the finest.

    Raises:
        OptionsError: an unknown level, a hop that is too small.
    """
    head = head_of_level(model.heads, level)
    hop = hop or model.audio_spec.seconds
    pool = Pool(IN_ALL)
    failures: list[tuple[Recording, str]] = []
    lengths = [seconds_for_progress(recording.path) for recording in recordings]
    windows, done, read = 0, 0.0, 0.0
    with measure("scoring windows", sum(lengths)) as advance:
        for recording, length in zip(recordings, lengths, strict=True):
            best = Pool(PER_RECORDING)
            end = 0.0

            def on_window(seconds: float, before: float = done) -> None:
                nonlocal end, windows
                end, windows = seconds, windows + 1
                advance(before + seconds)

            try:
                if recording.cause:
                    raise AudioError(recording.path, recording.cause)
                best.add(candidates_of(model, recording.path, head, hop, on_window))
            except AudioError as error:
                failures.append((recording, error.cause))
            pool.add(best.candidates())
            done += length
            read += end
    chosen = _choose(pool.candidates(), number)
    return Suggestions(chosen, windows, read, tuple(failures))


def _choose(candidates: Sequence[Candidate], number: int) -> tuple[Suggestion, ...]:
    if not candidates:
        return ()

    def overlapping(index: int) -> npt.NDArray[np.bool_]:
        return np.array([candidates[index].overlaps(one) for one in candidates])

    choices = choose(
        np.stack([one.embedding for one in candidates]),
        np.array([one.uncertainty for one in candidates]),
        number,
        blocked=overlapping,
    )
    return tuple(Suggestion(candidates[one.sound], one.similar) for one in choices)
