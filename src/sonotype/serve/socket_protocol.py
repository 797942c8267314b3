"""Connections of streams: limited handshakes, and an end that no client can break."""

from __future__ import annotations

import asyncio
import logging
from asyncio.transports import BaseTransport, WriteTransport
from collections.abc import Callable

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

log = logging.getLogger(__name__)
HANDSHAKE_SECONDS = 10.0
"""For the answer to a handshake."""


def close_or_abort(close: Callable[[], None], transport: WriteTransport) -> None:
    """Close a connection at the end of the service.

    uvicorn closes all connections in one loop, so an error of one must not reach the others: it is
    logged, and its connection is aborted.
    """
    try:
        close()
    except Exception as error:
        log.error("a connection was aborted at the end: %r", error)
        transport.abort()


class StreamProtocol(WebSocketsSansIOProtocol):
    """The connection of a stream after its upgrade."""

    handshake_seconds = HANDSHAKE_SECONDS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Start the time of the handshake."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.handshake_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    async def send(self, message: ASGISendEvent) -> None:
        """Send a message; a refusal completes the handshake, otherwise uvicorn logs an error."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def shutdown(self) -> None:
        """End the connection; an open stream ends itself when it has scored what was sent.

        An error must not stop the end of the service.
        """
        closed = self.close_sent or self.conn.close_rcvd is not None
        if self.handshake_complete and not closed and not self.transport.is_closing():
            return
        close_or_abort(super().shutdown, self.transport)

    def _too_slow(self) -> None:
        if not self.handshake_complete:
            self.transport.abort()
