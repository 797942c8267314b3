"""What failed between this machine and the Hugging Face Hub, in a few words."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from typing import Any

from sonotype.core.errors import MissingExtraError

TOKEN_ADVICE = "set HF_TOKEN, or run: hf auth login"  # noqa: S105 - an advice, not a token

GATED = "GatedRepo"
NO_REVISION = "RevisionNotFound"
NO_FILE = "EntryNotFound"

NETWORK_MODULES = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3")


def hub_library(purpose: str) -> Any:
    """The package huggingface_hub; it draws bars on a terminal only.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.utils
    except ImportError as error:
        raise MissingExtraError(purpose, "hub") from error
    if sys.stderr is None or not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    return huggingface_hub


def has_token() -> bool:
    """Whether a token is set, or stored by a login."""
    return bool(hub_library("a token of the Hugging Face Hub").get_token())


def hub_cause(error: BaseException, *, token: bool, endpoint: str) -> str:
    """The cause of a failed request, and what to do.

    Args:
        error: of huggingface_hub, or of the library for HTTP that it uses.
        token: whether a token was sent.
        endpoint: address of the Hub.
    """
    for one in _chain(error):
        if type(one).__name__ == "OfflineModeIsEnabled":
            return "HF_HUB_OFFLINE is set, and the file is not in the cache; unset it"
        response = getattr(one, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(status, int) and status >= 400:
            code = str(response.headers.get("X-Error-Code", "")) if response is not None else ""
            return _of_status(status, code, token, endpoint)
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS):
            return f"a file cannot be written ({one.strerror}: {one.filename or 'the cache'})"
        if is_network_error(one):
            return f"{endpoint} cannot be reached ({_words(one)}); check the network connection"
    return _words([*_chain(error)][-1])  # the outer ones only say that an upload failed


def is_network_error(error: BaseException) -> bool:
    """Whether an error is one of the connection."""
    module = type(error).__module__.partition(".")[0]
    return module in NETWORK_MODULES or isinstance(error, ConnectionError | TimeoutError)


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed later: no connection, or a Hub that fails or is busy."""
    chain = list(_chain(error))
    statuses = (getattr(getattr(one, "response", None), "status_code", 0) for one in chain)
    status = next((one for one in statuses if isinstance(one, int) and one >= 400), 0)
    return status >= 500 or status == 429 or (not status and any(map(is_network_error, chain)))


def has_status(error: BaseException) -> bool:
    """Whether the Hub answered, with an error."""
    return any(getattr(one, "response", None) is not None for one in _chain(error))


def _of_status(status: int, code: str, token: bool, endpoint: str) -> str:
    if code == GATED:
        return f"access needs the consent of its owner; ask for it on its page at {endpoint}"
    if code == NO_REVISION:
        return "there is no such revision; name a branch, a tag or a commit of the repository"
    if code == NO_FILE:
        return "there is no such file in this revision of the repository"
    if status == 401 and token:
        return (
            "the token is not accepted, or there is no such repository; correct the name, or "
            f"{TOKEN_ADVICE}"
        )
    if status in (401, 404) and not token:
        return (
            "there is no such repository, or it is private and no token is set; correct the name, "
            f"or {TOKEN_ADVICE}"
        )
    if status == 404:
        return (
            "there is no such repository, or the token has no permission to read it; correct the "
            "name, or use another token"
        )
    if status == 403:
        return "no permission; use a token that may read, or write, this repository"
    if status == 429:
        return "too many requests; repeat the command later"
    if status >= 500:
        return f"the Hub fails (HTTP {status}); repeat the command later"
    return f"the Hub refuses the request (HTTP {status})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes, from the outermost one."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
