"""JSON responses."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from sonotype.core.json_text import json_text


def json_response(values: Any, status: int = 200) -> Response:
    """A response with JSON; a name that is no Unicode becomes readable text."""
    text = json_text(values, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(text, status, media_type="application/json")
