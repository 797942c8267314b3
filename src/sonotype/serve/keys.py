"""Keys of clients, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from sonotype.core.errors import OptionsError
from sonotype.serve.problems import ProblemError

MIN_LENGTH = 16
"""Characters; shorter keys can be guessed."""


class Keys:
    """The keys that open the service; without any, it is open.

    Digests of equal length are compared, with all keys, so the time tells neither the length nor
    the beginning of a key.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def allow(self, headers: Mapping[str, str]) -> bool:
        """Whether the headers of a request have a key: of a bearer, or in ``X-API-Key``."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = _digest(key)
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(digest, known)
        return found or not self._digests

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise a ``ProblemError`` without a key."""
        if not self.allow(headers):
            detail = "send a key as Authorization: Bearer KEY, or as X-API-Key: KEY"
            raise ProblemError("key-required", detail)


def read_keys(file: Path | None, variable: str) -> tuple[str, ...]:
    """The keys in a file, one in each line, and those in a variable, separated by commas.

    Args:
        file: ``None`` for none; lines that begin with ``#`` are comments.
        variable: its value; empty for none.

    Raises:
        OptionsError: the file cannot be read; the file or the variable is given but has no key; a
            key is too short, or has a character that a header cannot have.
    """
    lines: list[str] = []
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
            raise OptionsError(f"--key-file {file}: cannot be read ({reason})") from None
    stripped = [line.strip() for line in lines]
    found = [line for line in stripped if line and not line.startswith("#")]
    if file is not None and not found:
        raise OptionsError(f"--key-file {file}: has no key; write one in each line")
    more = [key.strip() for key in variable.split(",") if key.strip()]
    if variable and not more:
        raise OptionsError("SONOTYPE_KEYS has no key; unset it, or write keys with commas between")
    found += more
    if any(len(key) < MIN_LENGTH for key in found):
        raise OptionsError(f"a key has fewer than {MIN_LENGTH} characters; use a longer one")
    if not all(key.isascii() and key.isprintable() for key in found):
        raise OptionsError("a key has a character that is not printable ASCII; use another key")
    return tuple(found)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
