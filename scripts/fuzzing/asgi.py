"""Send a request to an application as a server would, byte for byte, without a network."""

from __future__ import annotations

import asyncio
from typing import Any

SECONDS = 30.0


async def request(
    app: Any, method: str, path: bytes, headers: list[tuple[bytes, bytes]], chunks: list[bytes]
) -> tuple[int, bytes]:
    """The status and body of the answer.

    Args:
        app: the ASGI application.
        method: of the request.
        path: raw, with the query.
        headers: raw.
        chunks: of the body.
    """
    raw, _, query = path.partition(b"?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": _decoded(raw), "raw_path": raw, "query_string": query,
        "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "state": {},
        "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    waiting = [*chunks] or [b""]
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        if waiting:
            chunk = waiting.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}
        await asyncio.sleep(SECONDS)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, body
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            body += message.get("body", b"")

    await asyncio.wait_for(app(scope, receive, send), SECONDS)
    return status, body


def _decoded(raw: bytes) -> str:
    """The path as uvicorn decodes it."""
    from urllib.parse import unquote

    return unquote(raw.decode("ascii", "ignore"))
