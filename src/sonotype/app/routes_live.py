"""``WS /api/live``: the microphone of a page; scores and events come back."""

from __future__ import annotations

from importlib import import_module

from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool

from sonotype.app.context import AppContext


def router(context: AppContext) -> APIRouter:
    """The route of live sound."""
    routes, open_sockets = APIRouter(), set[WebSocket]()

    @routes.websocket("/api/live")
    async def live(socket: WebSocket) -> None:
        # At the first connection: this takes seconds, which a thread can wait for.
        requests = await run_in_threadpool(import_module, "sonotype.app.live_requests")
        await requests.answer_live(socket, context, open_sockets)

    return routes
