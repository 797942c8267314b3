"""Detect events while their sound arrives."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sonotype.audio.decode import Samples
from sonotype.core.detections import DetectedEvent, ScoreBlock
from sonotype.detect.detector import Detector
from sonotype.inference.recording import LiveSound
from sonotype.live.feed import Arrivals, Feed
from sonotype.live.live_options import ListenOptions
from sonotype.live.reports import Onsets, Pause, Report
from sonotype.sliding.layout import Pace

Stop = Callable[[], bool]


@dataclass
class Status:
    """How listening goes.

    Attributes:
        seconds: of sound that was read.
        peak: largest absolute sample of the last second or less.
        dropped: number of samples that were lost.
        invalid: number of samples that were no valid numbers.
        overflows: how often the sound system lost samples without saying how many.
        unread: number of samples that had arrived but were not scored when listening was stopped.
        silent: seconds since sound arrived, while all of it is scored.
        behind: seconds from the arrival of sound to its scores, the last.
        longest: the same, the most.
        delays: seconds from the arrival of the end of an event to its report, of each event.
        events: number of reported events by class.
        left_out: number of events within the pause, by class.
        error: why the source ended early.
    """

    seconds: float = 0.0
    peak: float = 0.0
    dropped: int = 0
    invalid: int = 0
    overflows: int = 0
    unread: int = 0
    silent: float = 0.0
    behind: float = 0.0
    longest: float = 0.0
    delays: list[float] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    error: str = ""


class Observer(Protocol):
    """Shows what happens."""

    def update(self, status: Status, block: ScoreBlock | None = None) -> None:
        """Show the status, and scores if there are new ones; a few times a second."""

    def report(self, report: Report) -> None:
        """Show an event."""


OnReport = Callable[[Report], None]

MORE_THAN_A_CLIP = 1.0
"""Seconds. Squeeze-and-excitation reads half a clip on each side, in several layers: with a clip
and this as the lookahead, scores of mn networks differ from those of a file by about 0.002."""


def lookahead_of(detector: Detector, options: ListenOptions) -> float:
    """Seconds of sound behind a chunk; the layout of a model cuts them to what it can use."""
    if options.lookahead is not None:
        return options.lookahead
    return detector.ensemble.audio_spec.seconds + MORE_THAN_A_CLIP


class Listener:
    """Detects the events of a feed.

    Args:
        detector: of the models.
        feed: of the sound.
        options: how to listen.
        observer: shows what happens.
        on_event: is called with each complete event.
        on_start: is called with each event that begins; may be ``None``.
    """

    def __init__(
        self,
        detector: Detector,
        feed: Feed,
        options: ListenOptions,
        observer: Observer,
        on_event: OnReport,
        on_start: OnReport | None = None,
    ) -> None:
        self._detector, self._feed, self._options = detector, feed, options
        self._observer, self._on_event, self._on_start = observer, on_event, on_start
        self._arrivals = Arrivals(feed.sample_rate)
        self._start = time.time()
        self._source_error = ""
        self.status = Status()

    def run(self, stop: Stop) -> Status:
        """Listen until the sound ends, or until ``stop`` returns true; report all events first."""
        pace = Pace(self._options.every, lookahead_of(self._detector, self._options))
        sound = LiveSound(self._feed.name, self._feed.sample_rate, self._pieces(stop), pace)
        ended, begun = Pause(self._options.pause), Pause(self._options.pause)
        onsets = Onsets(self._detector.classes, self._detector.thresholds, begun)
        status = self.status
        status.left_out = ended.left_out
        for step in self._detector.steps(sound):
            if step.block is not None:
                self._see(step.block)
                if self._on_start is not None:
                    for event in onsets.add(step.block):
                        self._on_start(self._report(event, begins=True))
            for event in filter(ended.lets, step.events):
                status.events[event.label] += 1
                status.delays.append(self._arrivals.behind(event.end))
                report = self._report(event)
                self._on_event(report)
                self._observer.report(report)
            status.error = step.error
        status.error = status.error or self._source_error
        self._observer.update(status)
        return status

    def _see(self, block: ScoreBlock) -> None:
        status = self.status
        status.behind = self._arrivals.behind(float(block.times[-1]))
        status.longest = max(status.longest, status.behind)
        self._observer.update(status, block)

    def _report(self, event: DetectedEvent, *, begins: bool = False) -> Report:
        return Report(event, self._start + event.start, begins)

    def _pieces(self, stop: Stop) -> Iterator[Samples]:
        """The samples of the feed, counted, up to the largest length."""
        rate, status = self._feed.sample_rate, self.status
        done, most = 0, round(self._options.max_seconds * rate)

        def refresh(silent: float = 0.0) -> None:
            status.dropped, status.invalid = self._feed.dropped, self._feed.invalid
            status.overflows, status.silent = self._feed.overflows, silent
            self._observer.update(status)

        def waiting() -> None:
            refresh(time.monotonic() - self._feed.last_arrival)

        for samples, arrived in self._feed.items(stop, waiting):
            if isinstance(samples, int):
                continue
            if not done:
                self._start = time.time() - (time.monotonic() - arrived) - len(samples) / rate
            piece = samples[: most - done] if most else samples
            done += len(piece)
            self._arrivals.add(len(piece), arrived)
            status.seconds, status.peak = done / rate, float(np.abs(piece).max(initial=0))
            refresh()
            if len(piece):
                yield piece
            if most and done >= most:
                return
        if stop():
            status.unread = self._feed.unread()
        else:
            self._source_error = self._feed.error
