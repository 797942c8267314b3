"""HTTP connections that are closed when the headers of a request do not arrive in time.

uvicorn limits the time between two requests, but not that for the headers of one: a client could
open many connections and send a byte now and then. It also gives every upgrade to the protocol of
streams, which leaves some without an answer; here only a valid handshake gets there.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from websockets.http11 import Request
from websockets.server import ServerProtocol

from sonotype.serve.problems import ProblemError
from sonotype.serve.settings import STREAM_PATH
from sonotype.serve.socket_protocol import close_or_abort

HEADER_SECONDS = 10.0
"""For the headers of a request, from the first byte (or from the connection) on."""
MAX_CONNECTIONS = 512
"""More are closed at once."""


class TimedProtocol(H11Protocol):
    """HTTP/1.1 with a time limit for headers and a limit of connections."""

    header_seconds = HEADER_SECONDS
    max_connections = MAX_CONNECTIONS
    stream_path = STREAM_PATH
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the headers."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(ProblemError("not-ready", "there are too many connections"))
            return
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Handle data; the time runs while headers are incomplete."""
        super().data_received(data)
        if self._waits_for_headers():
            self._start_timer()
        else:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer something that is not HTTP."""
        self._refuse(ProblemError("bad-request", "this is no valid HTTP request"))

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Open a stream, or refuse a request that does not open one."""
        if problem := problem_of_upgrade(event, self.stream_path):
            self._refuse(problem)
            return
        super().handle_websocket_upgrade(event)

    def shutdown(self) -> None:
        """Close the connection after the current answer; an error must not stop the others."""
        close_or_abort(super().shutdown, self.transport)

    def _waits_for_headers(self) -> bool:
        upgraded = self not in self.connections
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not upgraded and not self.transport.is_closing()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._waits_for_headers():
            detail = f"the headers must be complete after {self.header_seconds:g} s"
            self._refuse(ProblemError("request-too-slow", detail))

    def _refuse(self, problem: ProblemError) -> None:
        """Send a problem document and close the connection."""
        if self.transport.is_closing():
            return
        body, status = problem.body(), problem.kind.status
        headers = problem.headers() | {"content-length": str(len(body)), "connection": "close"}
        lines = [f"HTTP/1.1 {status} {STATUS_PHRASES[status].decode()}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()


def problem_of_upgrade(event: h11.Request, path: str = STREAM_PATH) -> ProblemError | None:
    """What is wrong with a request that wants to become a stream; ``None`` if nothing is.

    Args:
        event: the request.
        path: where streams are opened.
    """
    if event.target.partition(b"?")[0] != path.encode():
        return ProblemError("not-found", f"streams are opened at {path}")
    if event.method != b"GET":
        return ProblemError("method-not-allowed", "a stream is opened with GET")
    head = [event.method, b" ", event.target, b" HTTP/1.1\r\n"]
    for name, value in event.headers:
        head += [name, b": ", value, b"\r\n"]
    trial = ServerProtocol()
    trial.receive_data(b"".join([*head, b"\r\n"]))
    requests = [one for one in trial.events_received() if isinstance(one, Request)]
    has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in event.headers)
    if has_body or not requests or trial.accept(requests[0]).status_code != 101:
        return ProblemError("bad-request", "the handshake of the stream is not valid")
    return None
