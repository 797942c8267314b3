"""The server of the page."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address

from fastapi import FastAPI

from sonotype.core.errors import OptionsError
from sonotype.serve.protocol import TimedProtocol
from sonotype.serve.server import address_of, listen, run, server_of
from sonotype.serve.settings import LOOPBACK, ServeSettings

USUAL_PORT = 8765
END_SECONDS = 2.0
"""For requests that run at the end; an upload is not waited for longer."""
ALL_NETWORKS = ("0.0.0.0", "::")  # noqa: S104 (compared, not listened on)
ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses of no machine (RFC 5737, RFC 3849): the way to them is the way out of this machine."""


class PageProtocol(TimedProtocol):
    """Connections of the page; sound is streamed at an address of its own."""

    stream_path = "/api/live"


def new_key(host: str) -> str:
    """A key for a server that other machines reach; empty for the loopback."""
    return "" if host in LOOPBACK else secrets.token_urlsafe(16)


def listener_at(host: str, port: int | None) -> socket.socket:
    """A socket that listens.

    Args:
        host: name or address.
        port: ``None`` for the usual one, or a free one if that is in use.

    Raises:
        OptionsError: the address cannot be used.
    """
    if port is None:
        with suppress(OptionsError):
            return listen(_settings(host, USUAL_PORT))
    return listen(_settings(host, port or 0))


def address(listener: socket.socket, host: str, key: str) -> str:
    """The address of the page for a browser.

    Args:
        listener: has the port.
        host: as the person named it; for all networks, an address is shown that other devices of
            the local network can open.
        key: of the server, or empty.
    """
    name = local_address(host) if host in ALL_NETWORKS else host
    return f"{address_of(listener, name)}/" + (f"?key={key}" if key else "")


def local_address(host: str = ALL_NETWORKS[0]) -> str:
    """The address of this machine in its local network; without a network, its name.

    Args:
        host: of :data:`ALL_NETWORKS`: whether the server has addresses of IPv4 or of IPv6.
    """
    family = socket.AF_INET if host == ALL_NETWORKS[0] else socket.AF_INET6
    # Connecting a datagram socket chooses the address to send from; it sends nothing.
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as route:
        route.connect((ELSEWHERE[family], 9))
        found = str(route.getsockname()[0])
        address = ip_address(found)
        if not (address.is_loopback or address.is_unspecified or address.is_link_local):
            return found
    return socket.gethostname()


def serve_page(app: FastAPI, listener: socket.socket, on_start: Callable[[], None]) -> None:
    """Serve the page until a signal ends it; connections are accepted from ``on_start`` on."""
    settings = _settings("", listener.getsockname()[1])
    server = server_of(app, settings, PageProtocol)
    on_start()
    run(server, listener)


def _settings(host: str, port: int) -> ServeSettings:
    return ServeSettings(
        host=host, port=port, timeout=END_SECONDS / 2, body_timeout=END_SECONDS / 2
    )
