"""Problem documents (RFC 9457): every error of the service has one, and it has nothing else.

A document never has a traceback, a path of the server or the text of an unexpected error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sonotype.core.json_text import json_text

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
"""Value of Retry-After: a clip takes far less, and a client that was refused should not insist."""


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes:
        status: HTTP status.
        title: short description, the same for all problems of the kind.
        retry: whether the same request may succeed later.
    """

    status: int
    title: str
    retry: bool = False


PROBLEMS = {
    "bad-request": Kind(400, "The request is not well-formed"),
    "key-required": Kind(401, "A valid key is required"),
    "forbidden-origin": Kind(403, "Pages of another site may not use the service"),
    "not-found": Kind(404, "There is no such address"),
    "method-not-allowed": Kind(405, "The address does not have this method"),
    "request-too-slow": Kind(408, "The request arrived too slowly"),
    "body-too-large": Kind(413, "The body is too large"),
    "too-many-files": Kind(413, "The request has too many sounds"),
    "sound-too-long": Kind(413, "The sound is too long"),
    "sound-expands-too-much": Kind(413, "The sound is much longer than its file suggests"),
    "unsupported-media-type": Kind(415, "The body is neither a sound nor a form with sounds"),
    "invalid-parameter": Kind(422, "A parameter is not valid"),
    "unreadable-sound": Kind(422, "The sound cannot be read"),
    "too-many-requests": Kind(429, "The service is busy", retry=True),
    "internal-error": Kind(500, "The service failed"),
    "not-ready": Kind(503, "The service is not ready", retry=True),
    "not-enough-memory": Kind(503, "The service has not enough memory", retry=True),
    "took-too-long": Kind(503, "The request took too long", retry=True),
}
"""Kinds by the last part of their ``type``."""

PAGE_PROBLEMS = {
    "read-only": Kind(403, "The project cannot be written"),
    "gone": Kind(404, "It is not there"),
    "name-taken": Kind(409, "The name is taken"),
    "project-in-use": Kind(409, "Another program uses the project"),
    "training-runs": Kind(409, "A training runs already"),
    "invalid-name": Kind(422, "The name cannot be used"),
    "not-possible": Kind(422, "This is not possible"),
    "too-few-sounds": Kind(422, "Sounds are missing for a training"),
    "storage-full": Kind(507, "The disk is full"),
}
"""Kinds that only the page of ``sonotype app`` has."""


class ProblemError(Exception):
    """An error that is answered with a problem document.

    Args:
        name: of the kind, a key of :data:`PROBLEMS` or :data:`PAGE_PROBLEMS`.
        detail: what is wrong with this request, for its sender.
        more: further members of the document.
    """

    def __init__(self, name: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.name, self.detail, self.more = name, detail, more

    @property
    def kind(self) -> Kind:
        """Status and title."""
        return PROBLEMS[self.name] if self.name in PROBLEMS else PAGE_PROBLEMS[self.name]

    def document(self) -> dict[str, Any]:
        """The JSON values of the document."""
        return {
            "type": type_of(self.name),
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            **self.more,
        }

    def body(self) -> bytes:
        """The document as JSON."""
        return json_text(self.document(), ensure_ascii=False).encode("utf-8", "backslashreplace")

    def headers(self) -> dict[str, str]:
        """Headers of the answer that depend on the kind."""
        found = {"content-type": MEDIA_TYPE}
        if self.kind.retry:
            found["retry-after"] = str(RETRY_SECONDS)
        if self.kind.status == 401:
            found["www-authenticate"] = "Bearer"
        return found


def type_of(name: str) -> str:
    """The ``type`` of a kind of problem, a reference that the service answers."""
    return f"/problems/{name}"


def of_status(status: int) -> str:
    """The name of the first kind with a status, for errors of the framework."""
    names: Mapping[int, str] = {kind.status: name for name, kind in reversed(PROBLEMS.items())}
    return names.get(status, "bad-request" if status < 500 else "internal-error")
