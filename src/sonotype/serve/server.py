"""Run the application with uvicorn until a signal ends it."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from sonotype.core.errors import OptionsError
from sonotype.serve.protocol import TimedProtocol
from sonotype.serve.settings import ServeSettings
from sonotype.serve.socket_protocol import StreamProtocol

KEEP_ALIVE_SECONDS = 5
CHATTY = ("uvicorn.error", "python_multipart", "multipart", "websockets")
"""Loggers that write a line for each bad request: clients could fill the log."""
WS_MESSAGE_BYTES = 1 << 20
WS_MESSAGES = 4
"""Messages of a stream that wait; then the client has to wait."""


class Server(uvicorn.Server):
    """A server that tells the application when it begins to end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; streams score what was sent to them."""
        app = self.config.app
        if isinstance(app, FastAPI):
            app.state.end_streams()
        await super().shutdown(sockets)


def server_of(
    app: FastAPI, settings: ServeSettings, http: type[TimedProtocol] = TimedProtocol
) -> uvicorn.Server:
    """A server for an application; it ends gracefully on SIGTERM and on Ctrl-C.

    It then accepts no more connections, finishes the requests that it accepted, scores the
    sound that was sent on streams, and closes them.

    Args:
        app: with ``state.end_streams``, a function that is called when the server begins to end.
        settings: address and times.
        http: protocol of the connections.
    """
    patience = settings.body_timeout + settings.timeout
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=http,
        ws=StreamProtocol,
        ws_max_size=WS_MESSAGE_BYTES,
        ws_max_queue=WS_MESSAGES,
        ws_per_message_deflate=False,  # a small message could become a large one
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(patience) + KEEP_ALIVE_SECONDS,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    return Server(config)


def listen(settings: ServeSettings) -> socket.socket:
    """A socket that listens at the address of the service.

    Raises:
        OptionsError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        reason = error.strerror or error
        raise OptionsError(
            f"--host {settings.host} --port {settings.port}: cannot listen there ({reason})"
        ) from None


def serve(app: FastAPI, settings: ServeSettings, on_start: Callable[[str], None]) -> None:
    """Serve until a signal ends it.

    Args:
        app: the application.
        settings: address and times.
        on_start: is called with the address.

    Raises:
        OptionsError: the address cannot be used.
    """
    listener = listen(settings)
    on_start(address_of(listener, settings.host))
    run(server_of(app, settings), listener)


def address_of(listener: socket.socket, host: str) -> str:
    """The address of a listening socket for a browser.

    Args:
        listener: has the port.
        host: as the person named it.
    """
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Run a server until a signal ends it."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    server.run([listener])
