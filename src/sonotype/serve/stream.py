"""``WS /v1/stream``: sound in binary messages, events back as soon as they are complete.

The client sends raw samples, or a WAV stream, cut anywhere, and the text ``end`` after the last
one. The server sends JSON objects: ``event``, ``progress`` (seconds that were scored), and a last
``end`` or ``problem``. A message is read only when the samples before it are scored, so a client
that sends faster than that has to wait.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, get_args

from fastapi import Response, WebSocket
from starlette.websockets import WebSocketDisconnect

from sonotype.audio.decode import Samples
from sonotype.core.errors import AudioError, OptionsError, is_memory_error
from sonotype.core.json_text import json_text
from sonotype.detect.detector import Detector
from sonotype.detect.writers.event_rows import rounded
from sonotype.inference.recording import LiveSound
from sonotype.live.live_options import InputOptions, SampleFormat
from sonotype.live.pcm import PcmStream, valid
from sonotype.serve.answers import event_values
from sonotype.serve.keys import Keys
from sonotype.serve.origins import check_host, check_origin
from sonotype.serve.problems import ProblemError
from sonotype.serve.service import NOT_READY, Service
from sonotype.serve.settings import LOOPBACK
from sonotype.serve.sounds import LOWEST_RATE
from sonotype.sliding.layout import Pace

IDLE_SECONDS = 30.0
"""Longest time for :data:`LEAST_BYTES` of sound, without the time for scoring."""
LEAST_BYTES = 2_000
"""A second at the lowest rate; fewer bytes do not keep the place of a stream."""
STOP_SECONDS = 1.0
"""Longest time, without that for scoring, for more messages when the service ends."""
TICK = 0.2
"""Seconds between two looks at the time while a stream waits."""
PACE = Pace(step=1.0, lookahead=60.0)
"""All the context that the model can use: the events are those of a file with the same samples."""
HIGHEST_RATE = 768_000
"""Hz."""
MAX_CHANNELS = 64
END = "end"
POLICY, FAILED = 1008, 1011
"""Codes that close a stream after a problem."""
DONE, RESTART = 1000, 1012
"""Codes that close a stream after its end, and after the end of the service cut it."""

log = logging.getLogger(__name__)


def stream_endpoint(service: Service, keys: Keys) -> Callable[[WebSocket], Awaitable[None]]:
    """The function that answers an opened stream."""

    async def stream(socket: WebSocket) -> None:
        try:
            check_origin(socket.headers)
            keys.check(socket.headers)
            if service.settings.host in LOOPBACK and not keys:
                check_host(socket.headers)
            query = socket.query_params
            options = input_options(query)
            threshold = query_threshold(query.get("threshold"))
            detector = service.detector_with(threshold, query.getlist("class"))
            if not service.ready or service.stopping:
                raise ProblemError("not-ready", NOT_READY)
            if service.streams >= service.settings.max_streams:
                raise ProblemError("too-many-requests", "all places for streams are taken")
        except ProblemError as problem:
            service.metrics.problems.labels(problem.name).inc()
            await refuse(socket, problem)
            return
        service.streams += 1
        try:
            await run_stream(socket, service, detector or service.detector, options)
        finally:
            service.streams -= 1

    return stream


def input_options(query: Mapping[str, str]) -> InputOptions:
    """The format of raw samples, from the query ``rate``, ``channels`` and ``format``.

    Raises:
        ProblemError: ``invalid-parameter``.
    """
    rate = _number(query, "rate", 0, HIGHEST_RATE)
    if rate and rate < LOWEST_RATE:
        raise ProblemError("invalid-parameter", f"rate must be at least {LOWEST_RATE}")
    kind = query.get("format", "s16le")
    if kind not in get_args(SampleFormat):
        known = ", ".join(get_args(SampleFormat))
        raise ProblemError("invalid-parameter", f"format must be one of {known}")
    channels = _number(query, "channels", 1, MAX_CHANNELS)
    return InputOptions(rate=rate, channels=max(channels, 1), sample_format=kind)  # type: ignore[arg-type]


def _number(query: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = query.get(name, str(low))
    if not (text.isascii() and text.isdecimal() and low <= int(text[:9]) <= high):
        raise ProblemError("invalid-parameter", f"{name} must be a number from {low} to {high}")
    return int(text[:9])


def query_threshold(text: str | None) -> float | None:
    """The threshold in the query of a stream, which FastAPI does not check."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ProblemError("invalid-parameter", "threshold must be a number from 0 to 1")
    return value


async def refuse(socket: WebSocket, problem: ProblemError) -> None:
    """Answer the handshake with a problem document."""
    answer = Response(problem.body(), problem.kind.status, headers=problem.headers())
    await socket.send_denial_response(answer)


async def run_stream(
    socket: WebSocket, service: Service, detector: Detector, options: InputOptions
) -> None:
    """Detect events in the sound of a stream until it ends; the handshake is not yet answered."""
    await socket.accept()
    loop = asyncio.get_running_loop()
    pipe = _Pipe(socket, loop, service)
    stream = _Stream(pipe, detector, options, service.settings.max_stream_seconds)
    try:
        await loop.run_in_executor(service.stream_threads, stream.run)
        await socket.close(RESTART if pipe.cut else DONE)
    except WebSocketDisconnect:
        pass
    except (ProblemError, AudioError, OptionsError) as error:
        if pipe.cut:  # before there was any sound
            await _end_with(socket, None, RESTART)
        else:
            await _end_with(socket, _problem_of(error), POLICY)
    except Exception as error:
        log.error("a stream failed", exc_info=error)
        name = "not-enough-memory" if is_memory_error(error) else "internal-error"
        problem = ProblemError(name, "the error is in the log of the service")
        await _end_with(socket, problem, FAILED)
    finally:
        pipe.close()
        service.metrics.sounds.labels("/v1/stream").inc()
        service.metrics.sound_seconds.labels("/v1/stream").inc(stream.seconds)


def _problem_of(error: Exception) -> ProblemError:
    if isinstance(error, AudioError):
        return ProblemError("unreadable-sound", error.cause)
    if isinstance(error, OptionsError):  # raw samples without a rate
        detail = "raw samples need a rate, as in ?rate=48000; or send a WAV stream"
        return ProblemError("invalid-parameter", detail)
    assert isinstance(error, ProblemError)  # noqa: S101 (for mypy)
    return error


async def _end_with(socket: WebSocket, problem: ProblemError | None, code: int) -> None:
    try:
        if problem is not None:
            await socket.send_text(json_text({"message": "problem", **problem.document()}))
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError):  # the client is gone
        return


class _Pipe:
    """The messages of a socket as bytes, for a thread."""

    def __init__(
        self, socket: WebSocket, loop: asyncio.AbstractEventLoop, service: Service
    ) -> None:
        self._socket, self._loop, self._service = socket, loop, service
        self._most, self._waited_at_stop = service.settings.max_stream_seconds, math.inf
        self.cut = False
        self._rest, self._ended = b"", False
        self._next: asyncio.Task[MutableMapping[str, Any]] | None = None
        self._waited, self._waited_here, self._bytes_here = 0.0, 0.0, 0

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many; empty at the end."""
        while not self._rest and not self._ended:
            self._rest = asyncio.run_coroutine_threadsafe(self._receive(), self._loop).result()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def close(self) -> None:
        """Wait for no more messages."""
        if self._next is not None:
            self._next.cancel()

    def send(self, values: Mapping[str, Any]) -> None:
        """Send a JSON object."""
        sending = self._socket.send_text(json_text(values, ensure_ascii=False))
        asyncio.run_coroutine_threadsafe(sending, self._loop).result()

    async def _receive(self) -> bytes:
        message = await self._message()
        if message is None:
            self._ended = self.cut = True
            return b""
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        if (data := message.get("bytes")) is not None:
            self._bytes_here += len(data)
            if self._bytes_here >= LEAST_BYTES:
                self._bytes_here, self._waited_here = 0, 0.0
            return bytes(data)
        if message.get("text") != END:
            raise ProblemError("bad-request", f"the only text message is {END}")
        self._ended = True
        return b""

    async def _message(self) -> MutableMapping[str, Any] | None:
        """The next message, or ``None`` after the time for it when the service ends."""
        self._next = asyncio.ensure_future(self._socket.receive())
        while not self._next.done():
            begin = self._loop.time()
            await asyncio.wait({self._next}, timeout=TICK)
            waited = self._loop.time() - begin
            self._waited += waited
            self._waited_here += waited
            if self._service.stopping:
                self._waited_at_stop = min(self._waited_at_stop, self._waited - waited)
            if self._waited - self._waited_at_stop > STOP_SECONDS:
                return None
            if not self._next.done():
                self._check_time()
        self._check_time()
        return self._next.result()

    def _check_time(self) -> None:
        if self._waited > self._most:
            raise ProblemError("sound-too-long", f"a stream may last {self._most:g} s at most")
        if self._waited_here > IDLE_SECONDS:
            detail = f"fewer than {LEAST_BYTES} bytes of sound came in {IDLE_SECONDS:g} s"
            raise ProblemError("request-too-slow", detail)


class _Stream:
    """The work of one stream, in a thread of its own."""

    def __init__(self, pipe: _Pipe, detector: Detector, options: InputOptions, most: float) -> None:
        self._pipe, self._detector, self._options, self._most = pipe, detector, options, most
        self.seconds = 0.0

    def run(self) -> None:
        """Read, score and send until the end.

        Raises:
            AudioError: the sound cannot be read.
            OptionsError: raw samples without a rate.
            ProblemError: the stream is too long, too slow or not well-formed.
            WebSocketDisconnect: the client closed the stream.
        """
        pcm = PcmStream(self._pipe, self._options)
        rate, channels = pcm.format.rate, pcm.format.channels
        if not LOWEST_RATE <= rate <= HIGHEST_RATE or channels > MAX_CHANNELS:
            cause = f"has {channels} channels at {rate} Hz; from {LOWEST_RATE} Hz on, at most "
            raise AudioError("stream", f"{cause}{HIGHEST_RATE} Hz and {MAX_CHANNELS} channels")
        sound = LiveSound("stream", rate, self._checked(pcm.pieces(), rate), PACE)
        events, error = 0, ""
        for step in self._detector.steps(sound):
            for values in event_values(step.events):
                self._pipe.send({"message": "event", **values})
            events, error = events + len(step.events), step.error
            if step.block is not None:
                self._pipe.send({"message": "progress", "seconds": rounded(step.block.times[-1])})
        if error:
            raise AudioError("stream", error)
        self._pipe.send({"message": END, "seconds": rounded(self.seconds), "events": events})

    def _checked(self, pieces: Iterator[Samples], rate: int) -> Iterator[Samples]:
        count, most = 0, math.ceil(self._most * rate)
        for piece in pieces:
            count += len(piece)
            self.seconds = count / rate
            if count > most:
                raise ProblemError("sound-too-long", f"a stream may last {self._most:g} s at most")
            yield valid(piece)[0]
