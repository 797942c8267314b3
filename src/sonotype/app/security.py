"""Who may use the page: this machine, or who has the key; never pages of other sites."""

from __future__ import annotations

import hashlib
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sonotype.app.refused_page import refused
from sonotype.serve.keys import Keys
from sonotype.serve.origins import check_host, check_origin
from sonotype.serve.problems import ProblemError

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy of every answer that has none of its own."""
HEADERS = {
    "referrer-policy": "no-referrer",  # the address may have the key
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Refuses requests and connections that are not of the page, and adds headers to answers.

    Args:
        app: the application inside.
        key: that a browser must know; empty where only this machine can connect.
    """

    def __init__(self, app: ASGIApp, key: str = "") -> None:
        self._app, self._key = app, key
        self._keys = Keys([key] if key else [])
        # Cookies of all ports of a host are one set: each server has a name of its own.
        self._cookie = f"sonotype-{hashlib.sha256(key.encode()).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request or a connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), scope)
            await send(message)

        try:
            self._check(scope, headers)
        except ProblemError as problem:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": problem.detail})
                return
            answer = refused(problem, scope["method"], headers)
            await answer(scope, receive, guarded_send)
            return
        await self._app(scope, receive, guarded_send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raise the ``ProblemError`` of a request that is refused."""
        if not self._key:
            check_host(headers)
        check_origin(headers)
        # An image or a form of another site has no Origin, but says that it is of another site.
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and scope["path"] != "/":
            raise ProblemError("forbidden-origin", "the request is from a page of another site")
        known = self._from_cookie(headers) or self._from_address(scope)
        if self._key and not self._keys.allow({"x-api-key": known}):
            raise ProblemError(
                "key-required", "Open the address that sonotype app printed: it has the key."
            )

    def _from_cookie(self, headers: Headers) -> str:
        cookies = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            return ""
        return {name: str(found.value) for name, found in cookies.items()}.get(self._cookie, "")

    def _from_address(self, scope: Scope) -> str:
        if scope["path"] != "/":
            return ""
        query: str = scope["query_string"].decode("latin-1")
        return parse_qs(query).get("key", [""])[0]

    def _add_headers(self, headers: MutableHeaders, scope: Scope) -> None:
        for name, value in HEADERS.items():
            headers[name] = value
        headers.setdefault("content-security-policy", POLICY)
        if self._key and self._keys.allow({"x-api-key": self._from_address(scope)}):
            cookie = f"{self._cookie}={self._key}; HttpOnly; SameSite=Strict; Path=/"
            headers.append("set-cookie", cookie)
