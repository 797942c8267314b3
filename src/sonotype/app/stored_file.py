"""Responses with the content of a file that may be moved or removed at any moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from stat import ST_MTIME

from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from sonotype.app.disk import GONE
from sonotype.serve.problems import ProblemError

LAST_TIME = 253_402_300_799
"""Seconds since 1970 at the end of the year 9999."""


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
        except OSError as error:
            if sent:
                raise
            raise not_read(error) from None
        except RuntimeError:
            if sent or os.path.isfile(self.path):  # noqa: PTH113 (any kind of path)
                raise
            raise ProblemError("gone", GONE) from None

    def set_stat_headers(self, stat_result: os.stat_result) -> None:
        """Set length and time; a time that the header cannot have is the nearest that it can."""
        values = list(stat_result[:10])
        if not 0 <= values[ST_MTIME] <= LAST_TIME:
            values[ST_MTIME] = min(max(values[ST_MTIME], 0), LAST_TIME)
            stat_result = os.stat_result(values)
        super().set_stat_headers(stat_result)


@contextmanager
def reading() -> Iterator[None]:
    """Turn an error of opening a file that is to be sent into a problem.

    Raises:
        ProblemError: ``gone`` or ``not-possible``.
    """
    try:
        yield
    except OSError as error:
        raise not_read(error) from None


def not_read(error: OSError) -> ProblemError:
    """The problem of a file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError):
        return ProblemError("gone", GONE)
    return ProblemError("not-possible", f"The file cannot be read: {error.strerror or error}.")
