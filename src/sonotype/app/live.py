"""Scores and events of the microphone of a page, while its samples come through a WebSocket.

Two threads work for each client: one detects events as ``sonotype listen`` does, the other
classifies the last clip about twice a second, so that the page shows sounds before they end.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from time import monotonic

import numpy as np

from sonotype.app.analysis import detector_of, labels_of, unknown_of
from sonotype.audio.decode import Audio, Samples, from_array
from sonotype.core.detections import ScoreBlock
from sonotype.detect.writers.event_rows import rounded
from sonotype.inference.classifier import Classifier
from sonotype.inference.prediction import Failure
from sonotype.live.feed import Feed
from sonotype.live.listener import Listener, Status
from sonotype.live.live_options import ListenOptions
from sonotype.live.pcm import valid
from sonotype.live.reports import Report
from sonotype.serve.answers import Values, event_values
from sonotype.serve.problems import ProblemError

LOOKAHEAD = 1.0
"""Seconds of sound behind the scores from which events are made."""
SCORES_EVERY = 0.5
"""Seconds of sound from one message with scores to the next."""
TOP = 10
"""Classes in a message with scores."""
LATE, IN_TIME = 5.0, 2.0
"""Seconds that sound waits when a client is told, and when it may be told again."""
LOWEST_DB = -120.0
SAMPLE_BYTES = 4
WAITING = 20
"""Messages that wait for a slow client; then scores are left out."""
NAME = "microphone"


@dataclass(frozen=True)
class Wanted:
    """What a client wants.

    Attributes:
        rate: of its samples in Hz.
        threshold: least score of an event; ``None`` for those of the model.
    """

    rate: int
    threshold: float | None


class Recent:
    """The last seconds of a sound that arrives; one thread adds, another one waits.

    Args:
        samples: that are kept.
    """

    def __init__(self, samples: int) -> None:
        self._most = samples
        self._pieces: deque[Samples] = deque()
        self._kept = self._total = 0
        self._ended = False
        self._changed = Condition()

    def add(self, samples: Samples) -> None:
        """Add the next samples."""
        with self._changed:
            self._pieces.append(samples[-self._most :])
            self._kept += len(self._pieces[-1])
            self._total += len(samples)
            while self._kept - len(self._pieces[0]) >= self._most:
                self._kept -= len(self._pieces.popleft())
            self._changed.notify_all()

    def end(self) -> None:
        """Say that no more samples come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait(self, total: int) -> bool:
        """Wait for so many samples from the start on; ``False`` if they do not come."""
        with self._changed:
            while self._total < total and not self._ended:
                self._changed.wait()
            return not self._ended

    def clip(self) -> tuple[Samples, int]:
        """The last samples, with zeros before the start, and the number of all samples so far."""
        with self._changed:
            pieces, total = list(self._pieces), self._total
        samples = np.concatenate([np.zeros(self._most, np.float32), *pieces])
        return samples[-self._most :], total


class LiveSession:
    """The work for one client.

    Args:
        classifier: the model.
        wanted: of the client.
        send: sends JSON values to the client; called in any thread.
        waiting: number of messages that the client has not yet got.
    """

    def __init__(
        self,
        classifier: Classifier,
        wanted: Wanted,
        send: Callable[[Values], None],
        waiting: Callable[[], int],
    ) -> None:
        self._classifier = classifier.with_options(tta_shifts=1)
        self._detector = detector_of(classifier, wanted.threshold)
        rate = wanted.rate
        self._rate, self._send, self._waiting = rate, send, waiting
        self.feed = Feed(NAME, rate)
        self._recent = Recent(round(classifier.audio_spec.seconds * rate))
        self._stopped = self._late = False
        self._added, self._arrived = 0, deque[tuple[int, float]]()

    def add(self, content: bytes) -> Samples:
        """Take up samples for the scores.

        Args:
            content: 32-bit little-endian floats.

        Returns:
            The same samples, for :attr:`feed`, ``[samples]``.

        Raises:
            ProblemError: a part of a sample.
        """
        if len(content) % SAMPLE_BYTES:
            detail = f"a message has whole samples of {SAMPLE_BYTES} bytes"
            raise ProblemError("bad-request", detail)
        samples, _ = valid(np.frombuffer(content, "<f4").astype(np.float32))
        if len(samples):
            self._recent.add(samples)
            self._added += len(samples)
            self._arrived.append((self._added, monotonic()))
        return samples

    def end(self) -> None:
        """Say that no more sound comes; what came is still searched for events."""
        self.feed.end()
        self._recent.end()

    def stop(self) -> None:
        """End at once."""
        self._stopped = True
        self.feed.close()
        self.end()

    def detect(self) -> None:
        """Send the events until the sound ends."""
        options = ListenOptions(lookahead=LOOKAHEAD)
        listener = Listener(self._detector, self.feed, options, self, _nothing)
        try:
            listener.run(lambda: self._stopped)
        finally:
            self.feed.close()  # after an error nothing reads what a client still sends

    def score(self) -> None:
        """Send the scores of the last clip until the sound ends."""
        step, done = round(SCORES_EVERY * self._rate), 0
        while self._recent.wait(done + step):
            samples, total = self._recent.clip()
            new = samples[-min(total - done, len(samples)) :]
            done = total
            if self._waiting() < WAITING:
                self._send(self._scores(samples, new, total))

    def update(self, status: Status, block: ScoreBlock | None = None) -> None:
        """Tell the client when sound waits for too long; called by the listener."""
        done, arrived = round(status.seconds * self._rate), None
        while self._arrived and self._arrived[0][0] <= done:
            arrived = self._arrived.popleft()[1]
        if block is not None or arrived is None:
            return
        waited = monotonic() - arrived
        if waited > LATE and not self._late:
            self._late = True
            detail = (
                f"This computer is too slow for the model: sound waits for {waited:.0f} s. Choose "
                "a smaller model, or close other programs."
            )
            self._send({"kind": "problem", "detail": detail})
        elif waited < IN_TIME:
            self._late = False

    def report(self, report: Report) -> None:
        """Send an event; called by the listener."""
        [values] = event_values([report.event])
        self._send({"kind": "event", **values})

    def _scores(self, samples: Samples, new: Samples, total: int) -> Values:
        rate = self._classifier.audio_spec.sample_rate
        audio = from_array(samples, self._rate, sample_rate=rate)
        seconds = total / self._rate
        [found] = self._classifier.predict_clips([(NAME, Audio(audio.samples, rate, seconds))])
        values = {"kind": "scores", "time": rounded(seconds), "level_db": level_db(new)}
        if isinstance(found, Failure):
            return {**values, "labels": [], "unknown": None}
        labels = labels_of(found, found.heads[-1].name, TOP)
        return {**values, "labels": labels, "unknown": unknown_of(found)}


def level_db(samples: Samples) -> float:
    """RMS of samples in dB of full scale, from -120 on."""
    power = float(np.square(samples, dtype=np.float64).mean()) if len(samples) else 0.0
    return round(max(10 * math.log10(power), LOWEST_DB), 1) if power > 0 else LOWEST_DB


def _nothing(_: Report) -> None:
    return
