"""What happens with each event outside: a command, and a request to a server.

A hook works in a thread with a bounded queue, so neither a slow command nor a server that does not
answer delays detection. What fails, or finds the queue full, is counted.
"""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from queue import Empty, Full, Queue
from threading import Event, Thread, Timer
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from sonotype.core.errors import OptionsError
from sonotype.core.json_text import json_text
from sonotype.detect.writers.event_rows import number_text, score_text, utf8_text
from sonotype.live.outputs import event_object
from sonotype.live.reports import Report

WAITING = 100
"""Events in a queue, at most."""
COMMAND_SECONDS = 60.0
"""After which a command is ended."""
REQUEST_SECONDS = 10.0
"""For a connection, and then for the head of the answer."""
PAUSES = (1.0, 4.0, 15.0)
"""Seconds before each further try of a request."""
LAST_SECONDS = 10.0
"""For events that still wait when listening ends."""

Act = Callable[[Report], None]


class Hook:
    """Does something with each event in a thread.

    Args:
        name: for messages.
        act: for one event; an error counts as a failure.

    Attributes:
        done: number of events.
        failed: number of events for which it failed, or that found the queue full.
        last_error: the reason of the last failure.
    """

    def __init__(self, name: str, act: Act) -> None:
        self.name, self._act = name, act
        self.done = self.failed = 0
        self.last_error = ""
        self._queue: Queue[Report] = Queue(WAITING)
        self._closing = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def add(self, report: Report) -> None:
        """Take up an event; never waits."""
        try:
            self._queue.put_nowait(report)
        except Full:
            self._fail(f"{WAITING} events were waiting")

    def close(self, seconds: float = LAST_SECONDS) -> None:
        """Wait for the events in the queue, but not for long; the rest count as failed."""
        self._closing.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._fail("listening ended", 1 + self._queue.qsize())

    def _run(self) -> None:
        while True:
            try:
                report = self._queue.get(timeout=0.1)
            except Empty:
                if self._closing.is_set():
                    return
                continue
            try:
                self._act(report)
                self.done += 1
            except Exception as error:  # whatever a hook does, listening goes on
                self._fail(" ".join(f"{type(error).__name__}: {error}".split()))

    def _fail(self, reason: str, number: int = 1) -> None:
        self.failed += number
        self.last_error = reason


def command_hook(command: str) -> Hook:
    """Runs a command for each event.

    Raises:
        OptionsError: unbalanced quotes, no command, or one that is not there.
    """
    words = command_words(command)
    if "{" not in words[0] and shutil.which(words[0]) is None:
        raise OptionsError(f"--exec {words[0]}: no such program, or it may not be run")

    def act(report: Report) -> None:
        done = subprocess.run(  # noqa: S603 - the user's own command, without a shell
            arguments(words, report),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            start_new_session=True,  # Ctrl-C of the terminal does not reach it
            check=False,
        )
        if done.returncode:
            raise ChildProcessError(f"exit code {done.returncode}")

    return Hook("--exec", act)


def command_words(command: str) -> list[str]:
    """The words of a command, split as a shell does.

    Raises:
        OptionsError: unbalanced quotes, or no command.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise OptionsError(f"--exec {command!r}: {error}; close the quotes") from None
    if not words:
        raise OptionsError("--exec: names no command")
    return words


def arguments(words: Sequence[str], report: Report) -> list[str]:
    """The words with the values of an event; a value never becomes several words.

    The values are replaced at once, so that a label with ``{score}`` in it stays as it is.
    """
    event = report.event
    values = {
        "label": utf8_text(event.label).replace("\0", " "),
        "score": score_text(event.score),
        "start": number_text(event.start),
        "end": number_text(event.end),
    }
    return [_filled(word, values) for word in words]


def _filled(word: str, values: dict[str, str]) -> str:
    """A word in which names in braces are replaced; other braces stay."""
    before, brace, rest = word.partition("{")
    name, end, after = rest.partition("}")
    if not brace:
        return word
    if end and name in values:
        return before + values[name] + _filled(after, values)
    return before + brace + _filled(rest, values)


def webhook(url: str, name: str, pauses: Sequence[float] = PAUSES) -> Hook:
    """Sends each event as JSON.

    A request is repeated if the server does not answer, or says that it is busy or has an error
    (429, 5xx); another answer than 2xx, such as a redirect, is a failure at once.

    Args:
        url: with http or https.
        name: of the source.
        pauses: seconds before each further try.

    Raises:
        OptionsError: another URL.
    """
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an open bracket, or a port that is no number
        right = False
    if not right:
        raise OptionsError(f"--webhook {url}: must begin with http:// or https:// and a host")

    def act(report: Report) -> None:
        body = json_text(event_object(report, name), ensure_ascii=False).encode()
        for pause in (*pauses, None):
            try:
                _post(url, body)
                return
            except HTTPError as error:
                if pause is None or not (error.code == 429 or error.code >= 500):
                    raise
            except (HTTPException, OSError):
                if pause is None:
                    raise
            time.sleep(pause)

    return Hook("--webhook", act)


class _NoRedirects(HTTPRedirectHandler):
    """Makes a redirect an error: urllib would follow it with GET, and without the event."""

    def redirect_request(self, *_: object) -> None:
        """Nothing to follow."""


class _Timed(HTTPConnection):
    """A connection that is cut if the head of the answer takes too long, however it drips."""

    _timer: Timer | None = None

    def connect(self) -> None:
        """Connect, and start the time."""
        super().connect()
        self._timer = Timer(REQUEST_SECONDS, _cut, [self.sock])
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Close; also called when the head of an answer has been read."""
        if self._timer is not None:
            self._timer.cancel()
        super().close()


class _TimedSecure(_Timed, HTTPSConnection):
    """The same with TLS."""


class _TimedHandler(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_Timed, req)


class _TimedSecureHandler(HTTPSHandler):
    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_TimedSecure, req)


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


_OPENER = build_opener(_NoRedirects, _TimedHandler, _TimedSecureHandler)


def _post(url: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310
    with _OPENER.open(request, timeout=REQUEST_SECONDS):
        pass  # the body of the answer is not read
