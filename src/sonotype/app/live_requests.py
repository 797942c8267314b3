"""Answer the connection of a page that sends the sound of a microphone; imports the networks."""

from __future__ import annotations

from fastapi import WebSocket

from sonotype.app.context import AppContext
from sonotype.app.live import Wanted
from sonotype.app.live_socket import run_live
from sonotype.live.live_options import HIGHEST_RATE
from sonotype.serve.origins import check_origin
from sonotype.serve.problems import ProblemError
from sonotype.serve.sounds import LOWEST_RATE
from sonotype.serve.stream import query_threshold, refuse

MOST_CLIENTS = 8


async def answer_live(socket: WebSocket, context: AppContext, open_sockets: set[WebSocket]) -> None:
    """Send scores and events until the sound or the server ends.

    Args:
        socket: the connection.
        context: of the server.
        open_sockets: of all pages that listen.
    """
    try:
        check_origin(socket.headers)
        rate = _rate(socket.query_params.get("rate", ""))
        threshold = query_threshold(socket.query_params.get("threshold") or None)
        if len(open_sockets) >= MOST_CLIENTS:
            detail = f"{MOST_CLIENTS} pages listen already. Stop listening in one of them."
            raise ProblemError("too-many-requests", detail)
    except ProblemError as problem:
        await refuse(socket, problem)
        return
    model = socket.query_params.get("model", "")
    open_sockets.add(socket)
    try:
        await run_live(
            socket,
            lambda: context.models.classifier(model),
            Wanted(rate, threshold),
            lambda: context.state.closed,
        )
    finally:
        open_sockets.discard(socket)


def _rate(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and LOWEST_RATE <= int(text[:9]) <= HIGHEST_RATE):
        detail = f"rate must be a number from {LOWEST_RATE} to {HIGHEST_RATE}, as in rate=48000"
        raise ProblemError("invalid-parameter", detail)
    return int(text)
