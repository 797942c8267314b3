"""``WS /api/live``: the microphone of a page; scores and events come back."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from sonotype.app.context import AppContext
from sonotype.app.live import Wanted
from sonotype.app.live_socket import run_live
from sonotype.live.live_options import HIGHEST_RATE
from sonotype.serve.origins import check_origin
from sonotype.serve.problems import ProblemError
from sonotype.serve.sounds import LOWEST_RATE
from sonotype.serve.stream import query_threshold, refuse

MOST_CLIENTS = 8


def router(context: AppContext) -> APIRouter:
    """The route of live sound."""
    routes, open_sockets = APIRouter(), set[WebSocket]()

    @routes.websocket("/api/live")
    async def live(socket: WebSocket) -> None:
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

    return routes


def _rate(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and LOWEST_RATE <= int(text[:9]) <= HIGHEST_RATE):
        detail = f"rate must be a number from {LOWEST_RATE} to {HIGHEST_RATE}, as in rate=48000"
        raise ProblemError("invalid-parameter", detail)
    return int(text)
