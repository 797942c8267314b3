"""Scores and events of the microphone of a page, while its samples come through a WebSocket.

Two threads work for each client: one detects events as ``sonotype listen`` does, the other
classifies the last clip about twice a second, so that the page shows sounds before they end.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition

import numpy as np
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from sonotype.app.analysis import detector_of, labels_of, unknown_of
from sonotype.audio.decode import Audio, Samples, from_array
from sonotype.core.detections import ScoreBlock
from sonotype.core.errors import SonotypeError
from sonotype.core.json_text import json_text
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
"""Seconds behind the sound at which a client is told, and at which it may be told again."""
LOWEST_DB = -120.0
SAMPLE_BYTES = 4
WAITING = 20
"""Messages that wait for a slow client; then scores are left out."""
TICK = 0.25
END = "end"
NAME = "microphone"
DONE, POLICY, FAILED = 1000, 1008, 1011

log = logging.getLogger(__name__)


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
            self.feed.close()  # after an error nobody reads what a client still sends

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
        """Tell the client when events come late; called by the listener."""
        if block is None:
            return
        if status.behind > LATE and not self._late:
            self._late = True
            detail = (
                f"This computer is too slow for the model: events come {status.behind:.0f} s after "
                "the sound. Choose a smaller model, or close other programs."
            )
            self._send({"kind": "problem", "detail": detail})
        elif status.behind < IN_TIME:
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


async def run_live(
    socket: WebSocket,
    load: Callable[[], Classifier],
    wanted: Wanted,
    closed: Callable[[], bool],
) -> None:
    """Serve one client until it ends; the handshake is not yet answered.

    Args:
        socket: of the client.
        load: gives the model; may take seconds.
        wanted: of the client.
        closed: whether the server ends.
    """
    loop, messages = asyncio.get_running_loop(), asyncio.Queue[Values | None]()

    def send(values: Values) -> None:
        loop.call_soon_threadsafe(messages.put_nowait, values)

    def open_session() -> LiveSession:
        return LiveSession(load(), wanted, send, messages.qsize)

    await socket.accept()
    threads = ThreadPoolExecutor(3, thread_name_prefix="live")
    sender = asyncio.create_task(_send_all(socket, messages))
    last: tuple[Values, int] = ({"kind": "end"}, DONE)
    session, works = None, list[asyncio.Future[None]]()
    try:
        session = await loop.run_in_executor(threads, open_session)
        works = [loop.run_in_executor(threads, work) for work in (session.detect, session.score)]
        await _receive(socket, session, threads, (closed, works))
        session.end()
        await asyncio.gather(*works)
    except WebSocketDisconnect:
        pass
    except Exception as error:
        last = _problem_of(error)
    finally:
        if session is not None:
            session.stop()
        await asyncio.gather(*works, return_exceptions=True)
        threads.shutdown(wait=False)
        messages.put_nowait(last[0])
        messages.put_nowait(None)
        await sender
    with suppress(WebSocketDisconnect, RuntimeError):  # the client is gone
        await socket.close(last[1])


def _problem_of(error: Exception) -> tuple[Values, int]:
    """The last message after an error, and the code that closes the stream."""
    if isinstance(error, ProblemError):
        return {"kind": "problem", **error.document()}, POLICY
    if isinstance(error, SonotypeError):
        problem = ProblemError("not-possible", str(error))
        return {"kind": "problem", **problem.document()}, POLICY
    log.error("a live stream failed", exc_info=error)
    problem = ProblemError("internal-error", "The work failed; the log says why.")
    return {"kind": "problem", **problem.document()}, FAILED


async def _receive(
    socket: WebSocket,
    session: LiveSession,
    threads: ThreadPoolExecutor,
    ends: tuple[Callable[[], bool], list[asyncio.Future[None]]],
) -> None:
    """Take up samples until the client says ``end``, the server ends, or the work fails.

    A message is read only when there is room for its samples: a client that sends faster than the
    model works has to wait.
    """
    closed, works = ends
    loop = asyncio.get_running_loop()
    while True:
        receiving = asyncio.ensure_future(socket.receive())
        try:
            while not receiving.done():
                await asyncio.wait([receiving, *works], timeout=TICK, return_when="FIRST_COMPLETED")
                if closed() or any(work.done() for work in works):
                    return
        finally:
            receiving.cancel()
        message = receiving.result()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        if (content := message.get("bytes")) is not None:
            samples = session.add(content)
            await loop.run_in_executor(threads, session.feed.put, samples)
        elif message.get("text") == END:
            return
        else:
            raise ProblemError("bad-request", f"the only text message is {END}")


async def _send_all(socket: WebSocket, messages: asyncio.Queue[Values | None]) -> None:
    """Send messages until ``None``; what a client that is gone does not get is dropped."""
    gone = False
    while (values := await messages.get()) is not None:
        try:
            if not gone:
                await socket.send_text(json_text(values, ensure_ascii=False))
        except (WebSocketDisconnect, RuntimeError):
            gone = True


def _nothing(_: Report) -> None:
    return
