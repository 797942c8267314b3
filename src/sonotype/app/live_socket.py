"""One client of live sound: its WebSocket, and the threads that work for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from sonotype.app.live import LiveSession, Wanted
from sonotype.core.errors import SonotypeError
from sonotype.core.json_text import json_text
from sonotype.inference.classifier import Classifier
from sonotype.serve.answers import Values
from sonotype.serve.problems import ProblemError

TICK = 0.25
"""Seconds between two looks at whether the server ends."""
END = "end"
DONE, POLICY, FAILED = 1000, 1008, 1011
"""Codes that close a stream."""

log = logging.getLogger(__name__)


async def run_live(
    socket: WebSocket,
    load: Callable[[], Classifier],
    wanted: Wanted,
    closed: Callable[[], bool],
) -> None:
    """Serve one client until it ends; the handshake is not yet answered.

    Args:
        socket: of the client.
        load: gives the model; may take seconds.
        wanted: of the client.
        closed: whether the server ends.
    """
    loop, messages = asyncio.get_running_loop(), asyncio.Queue[Values | None]()

    def send(values: Values) -> None:
        loop.call_soon_threadsafe(messages.put_nowait, values)

    def open_session() -> LiveSession:
        return LiveSession(load(), wanted, send, messages.qsize)

    await socket.accept()
    threads = ThreadPoolExecutor(3, thread_name_prefix="live")
    sender = asyncio.create_task(_send_all(socket, messages))
    last: tuple[Values, int] = ({"kind": "end"}, DONE)
    session, works = None, list[asyncio.Future[None]]()
    try:
        session = await loop.run_in_executor(threads, open_session)
        works = [loop.run_in_executor(threads, work) for work in (session.detect, session.score)]
        await _receive(socket, session, threads, (closed, works))
        session.end()
        await asyncio.gather(*works)
    except WebSocketDisconnect:
        pass
    except Exception as error:
        last = _problem_of(error)
    finally:
        if session is not None:
            session.stop()
        await asyncio.gather(*works, return_exceptions=True)
        threads.shutdown(wait=False)
        messages.put_nowait(last[0])
        messages.put_nowait(None)
        await sender
    with suppress(WebSocketDisconnect, RuntimeError):  # the client is gone
        await socket.close(last[1])


def _problem_of(error: Exception) -> tuple[Values, int]:
    """The last message after an error, and the code that closes the stream."""
    if isinstance(error, ProblemError):
        return {"kind": "problem", **error.document()}, POLICY
    if isinstance(error, SonotypeError):
        problem = ProblemError("not-possible", str(error))
        return {"kind": "problem", **problem.document()}, POLICY
    log.error("a live stream failed", exc_info=error)
    problem = ProblemError("internal-error", "The work failed; the log says why.")
    return {"kind": "problem", **problem.document()}, FAILED


async def _receive(
    socket: WebSocket,
    session: LiveSession,
    threads: ThreadPoolExecutor,
    ends: tuple[Callable[[], bool], list[asyncio.Future[None]]],
) -> None:
    """Take up samples until the client says ``end``, the server ends, or the work fails.

    A message is read only when there is room for its samples: a client that sends faster than the
    model works has to wait.
    """
    closed, works = ends
    loop = asyncio.get_running_loop()
    while True:
        receiving = asyncio.ensure_future(socket.receive())
        waited: list[asyncio.Future[Any]] = [receiving, *works]
        try:
            while not receiving.done():
                await asyncio.wait(waited, timeout=TICK, return_when="FIRST_COMPLETED")
                if closed() or any(work.done() for work in works):
                    return
        finally:
            receiving.cancel()
        message = receiving.result()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        if (content := message.get("bytes")) is not None:
            samples = session.add(content)
            await loop.run_in_executor(threads, session.feed.put, samples)
        elif message.get("text") == END:
            return
        else:
            raise ProblemError("bad-request", f"the only text message is {END}")


async def _send_all(socket: WebSocket, messages: asyncio.Queue[Values | None]) -> None:
    """Send messages until ``None``; what a client that is gone does not get is dropped."""
    gone = False
    while (values := await messages.get()) is not None:
        try:
            if not gone:
                await socket.send_text(json_text(values, ensure_ascii=False))
        except (WebSocketDisconnect, RuntimeError):
            gone = True
