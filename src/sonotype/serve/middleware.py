"""Around every request: metrics, and bodies that are answered before they are read."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sonotype.serve.metrics import Metrics
from sonotype.serve.problems import ProblemError

DRAIN_SECONDS = 1.0
DRAIN_BYTES = 64 << 20
HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

log = logging.getLogger(__name__)


class Around:
    """Counts answers, answers unexpected errors, and reads on for a moment after an early answer.

    An answer may come before the end of the body, which may have no end. A server that closes a
    connection with unread bytes resets it, and the client may lose the answer. So the answer is
    sent, the rest of the body is read and forgotten for at most a second, and only then the answer
    is finished and the connection closed.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status, read_all = time.perf_counter(), 0, False

        async def counted_receive() -> Message:
            nonlocal read_all
            message = await receive()
            read_all = message["type"] != "http.request" or not message.get("more_body")
            return message

        async def send_and_drain(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                early = _has_body(scope) and not read_all
                more = (*HEADERS, (b"connection", b"close")) if early else HEADERS
                message["headers"] = [*message.get("headers", ()), *more]
            last = message["type"] == "http.response.body" and not message.get("more_body")
            if not last or read_all or not _has_body(scope):
                await send(message)
                return
            await send({**message, "more_body": True})
            with suppress(TimeoutError):
                await asyncio.wait_for(_drain(receive), DRAIN_SECONDS)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            await self._app(scope, counted_receive, send_and_drain)
        except Exception as error:
            log.error("a request failed", exc_info=error)
            if status:
                raise
            problem = ProblemError("internal-error", "the error is in the log of the service")
            self._metrics.problems.labels(problem.name).inc()
            answer = Response(problem.body(), problem.kind.status, headers=problem.headers())
            await answer(scope, counted_receive, send_and_drain)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - begin)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


async def _drain(receive: Receive) -> None:
    size = 0
    while size < DRAIN_BYTES:
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return
