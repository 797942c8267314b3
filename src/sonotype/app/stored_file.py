"""Responses with the content of a file that may be moved or removed at any moment."""

from __future__ import annotations

from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from sonotype.app.disk import GONE
from sonotype.serve.problems import ProblemError


class StoredFile(FileResponse):
    """A file as a response; a file that is gone or cannot be opened is a problem document.

    The file is opened after the address was resolved: until then it may be moved, renamed or
    removed by another request or program. So the first lines of the response are kept back until
    the file is open.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file.

        Raises:
            ProblemError: ``gone`` or ``not-possible``; nothing was sent.
        """
        start: Message | None = None
        sent = False

        async def send_when_open(message: Message) -> None:
            nonlocal start, sent
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                sent = True
                await send(start)
                start = None
            await send(message)

        try:
            await super().__call__(scope, receive, send_when_open)
        except (OSError, RuntimeError) as error:  # RuntimeError: starlette found no file
            if sent:
                raise
            if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                detail = f"The file cannot be read: {error.strerror or error}."
                raise ProblemError("not-possible", detail) from None
            raise ProblemError("gone", GONE) from None
