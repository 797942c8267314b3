"""Events of all classes, for whole recordings and for streams.

The steps are those of :mod:`sonotype.detect.class_events`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from sonotype.config import EventOptions
from sonotype.core.detections import DetectedEvent, ScoreBlock
from sonotype.core.errors import OptionsError
from sonotype.detect.class_events import check_events, class_events, part_events
from sonotype.detect.filters import (
    TOLERANCE,
    TYPICAL_FRAMES,
    FilterSizes,
    FloatArray,
    TimedSpan,
    active_parts,
    filter_sizes,
    join,
    limit_length,
    typical_frame,
)


def find_events(
    times: FloatArray,
    scores: npt.NDArray[np.floating],
    classes: Sequence[str],
    options: Sequence[EventOptions],
) -> list[DetectedEvent]:
    """The events of all classes in a whole recording, by start, end and label.

    Args:
        times: ``[frames + 1]`` boundaries of the frames in seconds.
        scores: ``[frames, classes]`` from 0 to 1.
        classes: names, in the order of the columns of the scores.
        options: of each class.
    """
    return _events(
        (label, event)
        for label, score, one in zip(classes, scores.T, options, strict=True)
        for event in class_events(times, score, one)
    )


class EventFinder:
    """Finds the events of all classes in the score blocks of one recording.

    The events are those of :func:`find_events`. Memory is needed for the frames of classes that
    are active, that is, with scores above the floor, and for a short time after. The worst case is
    noise that is always above the floor: its events are complete at the end of the recording only.
    24 h of it, with 50 classes and a frame each 0.16 s, have 5 million events, which take 73 s and
    2.3 GB.

    Args:
        classes: names, in the order of the columns of the scores.
        options: of each class.

    Raises:
        OptionsError: invalid options, or not one for each class.
    """

    def __init__(self, classes: Sequence[str], options: Sequence[EventOptions]) -> None:
        if len(classes) != len(options):
            raise OptionsError(
                f"{len(options)} event options for {len(classes)} classes: give one for each class"
            )
        for one in options:
            check_events(one)
        self._classes = classes
        self._options = options
        self._first_blocks: list[ScoreBlock] = []
        self._tracks: list[_Track] = []
        self._floors: FloatArray = np.zeros(len(classes))
        self._busy: set[int] = set()
        self._frames = 0

    @property
    def kept_frames(self) -> int:
        """Number of scores in memory."""
        first = sum(block.scores.size for block in self._first_blocks)
        return first + sum(track.kept_frames for track in self._tracks)

    def add(self, block: ScoreBlock) -> list[DetectedEvent]:
        """Add the next frames.

        Returns:
            The events that no later score can change, by start, end and label.

        Raises:
            OptionsError: times or classes that do not fit the scores.
        """
        if block.scores.shape != (len(block.times) - 1, len(self._classes)):
            raise OptionsError(
                f"scores of shape {block.scores.shape} with {len(block.times)} times and "
                f"{len(self._classes)} classes: must be [frames, classes], with frames + 1 times"
            )
        if self._tracks:
            return self._found(self._add(block))
        self._first_blocks.append(block)
        if sum(len(one.scores) for one in self._first_blocks) < TYPICAL_FRAMES:
            return []
        return self._found(self._start())

    def finish(self) -> list[DetectedEvent]:
        """The events that remain at the end of the recording; no block can follow."""
        found = [] if self._tracks else self._start()
        for index, track in enumerate(self._tracks):
            found += [(index, event) for event in track.finish(self._frames)]
        self._busy.clear()
        return self._found(found)

    def _start(self) -> list[tuple[int, TimedSpan]]:
        """Choose the filters by the frames so far, and treat these."""
        blocks, self._first_blocks = self._first_blocks, []
        times = [block.times[1:] for block in blocks if len(block.scores)]
        if not times:
            return []
        start = next(block.times[:1] for block in blocks if len(block.scores))
        frame = typical_frame(np.concatenate([start, *times]))
        sizes = [filter_sizes(one, frame) for one in self._options]
        self._floors = np.array([one.floor for one in sizes])
        self._tracks = [_Track(*pair) for pair in zip(self._options, sizes, strict=True)]
        return [event for block in blocks for event in self._add(block)]

    def _add(self, block: ScoreBlock) -> list[tuple[int, TimedSpan]]:
        if not len(block.scores):
            return []
        scores = np.asarray(block.scores, dtype=np.float64)
        times = np.asarray(block.times, dtype=np.float64)
        active = scores >= self._floors
        found = []
        for index in sorted(self._busy.union(np.flatnonzero(active.any(axis=0)).tolist())):
            track = self._tracks[index]
            score = np.where(active[:, index], scores[:, index], 0.0)
            events = track.add(times, score, active[:, index], self._frames)
            found += [(index, event) for event in events]
            (self._busy.add if track.busy else self._busy.discard)(index)
        self._frames += len(scores)
        return found

    def _found(self, events: list[tuple[int, TimedSpan]]) -> list[DetectedEvent]:
        return _events((self._classes[index], event) for index, event in events)


class _Part:
    """The frames of a class since it became active.

    Attributes:
        first: index of the first frame in the recording.
        last: index of the last active frame.
    """

    def __init__(self, first: int, start: float) -> None:
        self.first = self.last = first
        self._score = array("d")
        self._times = array("d", [start])

    @property
    def frames(self) -> int:
        """Number of frames kept."""
        return len(self._score)

    @property
    def next(self) -> int:
        """Index in the recording of the frame after those kept."""
        return self.first + self.frames

    @property
    def start(self) -> float:
        """Start in seconds."""
        return self._times[0]

    def append(self, ends: FloatArray, score: FloatArray) -> None:
        """Add frames by their ends in seconds and their scores, both ``[frames]``."""
        self._times.frombytes(ends.tobytes())
        self._score.frombytes(score.tobytes())

    def arrays(self) -> tuple[FloatArray, FloatArray]:
        """Times ``[frames + 1]`` and scores ``[frames]`` up to the last active frame."""
        frames = self.last + 1 - self.first
        return np.array(self._times[: frames + 1]), np.array(self._score[:frames])


class _Track:
    """The state of one class in a stream: an active part, and an event that may be continued."""

    def __init__(self, options: EventOptions, sizes: FilterSizes) -> None:
        self._options = options
        self._sizes = sizes
        self._part: _Part | None = None
        self._event: TimedSpan | None = None

    @property
    def busy(self) -> bool:
        """Whether later frames without activity change the state."""
        return self._part is not None or self._event is not None

    @property
    def kept_frames(self) -> int:
        """Number of scores in memory."""
        return self._part.frames if self._part else 0

    def add(
        self,
        times: FloatArray,
        score: FloatArray,
        active: npt.NDArray[np.bool_],
        base: int,
    ) -> list[TimedSpan]:
        """Add a block whose first frame has the index ``base``; returns complete events."""
        found: list[TimedSpan] = []
        for first, stop in active_parts(active, self._sizes.separation):
            if self._part and base + first - self._part.last > self._sizes.separation:
                found += self._close(self._part, base + first)
            part = self._part = self._part or _Part(base + first, times[first].item())
            known = part.next - base
            part.append(times[known + 1 : stop + 1], score[known:stop])
            part.last = base + stop - 1
        if self._part:
            if base + len(score) - self._part.last > self._sizes.separation:
                found += self._close(self._part, base + len(score))
            else:
                known = self._part.next - base
                self._part.append(times[known + 1 :], score[known:])
        earliest = self._part.start if self._part else times[-1].item()
        if self._event and earliest > self._event[1] + self._options.merge_gap + TOLERANCE:
            found += self._take(None)
        return found

    def finish(self, frames: int) -> list[TimedSpan]:
        """The last events of a recording with this number of frames."""
        found = self._close(self._part, frames) if self._part else []
        return found + self._take(None)

    def _close(self, part: _Part, frames: int) -> list[TimedSpan]:
        """Complete events after the end of a part; ``frames`` of the recording are known."""
        self._part = None
        times, score = part.arrays()
        after = frames - part.last - 1
        outside = (part.first, after)
        events = part_events(times, score, self._sizes, self._options, outside)
        return [found for event in events for found in self._take(event)]

    def _take(self, event: TimedSpan | None) -> list[TimedSpan]:
        """Join an event with the one before, or give that back as complete."""
        last, self._event = self._event, event
        if last and event and (joined := join(last, event, self._options.merge_gap)):
            self._event, last = joined, None
        limited = limit_length(last, self._options) if last else None
        return [limited] if limited else []


def _events(found: Iterable[tuple[str, TimedSpan]]) -> list[DetectedEvent]:
    """Events of labels, by start, end and label."""
    events = [DetectedEvent(start, end, label, score) for label, (start, end, score) in found]
    return sorted(events, key=lambda event: (event.start, event.end, event.label))
