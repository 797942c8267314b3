"""Pages of other sites, which a browser lets send requests to this machine."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from sonotype.serve.problems import ProblemError
from sonotype.serve.settings import LOOPBACK


def check_origin(headers: Mapping[str, str]) -> None:
    """Refuse a page of another site.

    Raises:
        ProblemError: ``forbidden-origin``.
    """
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        raise ProblemError("forbidden-origin", "the request is from a page of another site")


def check_host(headers: Mapping[str, str]) -> None:
    """Refuse another name than those of the loopback: a page may give its own to this machine.

    Raises:
        ProblemError: ``forbidden-origin``.
    """
    try:
        name = urlsplit(f"//{headers.get('host', '')}").hostname
    except ValueError:
        name = None
    if name not in LOOPBACK:
        detail = f"without keys the Host of a request must be one of {', '.join(LOOPBACK)}"
        raise ProblemError("forbidden-origin", detail)
