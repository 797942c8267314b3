"""Hostile requests: queries, headers, forms and bodies."""

# ruff: noqa: E501 - tables of odd values

from __future__ import annotations

import json
from random import Random
from typing import Any
from urllib.parse import quote

from fuzzing.mutate import json_document, mutated_bytes, mutated_value, odd_number, odd_text
from fuzzing.tables import sound_bytes

SOUND = sound_bytes(0.3)
BOUNDARY = "boundary"
TYPES = (
    "audio/wav", "application/octet-stream", "application/json", "text/html", "", "multipart/form-data",
    "multipart/form-data; boundary=", "multipart/form-data; boundary=boundary", "multipart/mixed; x",
    "audio/\xff", "application/ogg; charset=\0", "x" * 5000,
)  # fmt: skip


def query(names: list[str], rng: Random) -> str:
    """A query with usual and unusual values."""
    parts = []
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        name = rng.choice([*names, *names, odd_text(rng)])
        value = rng.choice((odd_number(rng), odd_text(rng)))
        text = [one.encode("utf-8", "surrogatepass") for one in (name, value)]
        parts.append("=".join(quote(one) for one in text))
    if rng.random() < 0.05:
        parts.append(rng.choice(("%", "%ff%fe", "=&=&", "a" * 9000, ";")))
    return "?" + "&".join(parts) if parts else ""


def headers(kind: str, size: int, rng: Random) -> list[tuple[bytes, bytes]]:
    """Headers of a request, some of them wrong."""
    found = [("host", "127.0.0.1:8000"), ("content-type", kind)]
    if rng.random() < 0.7:
        found.append(("content-length", str(size)))
    if rng.random() < 0.15:
        name = rng.choice(("content-length", "host", "origin", "x-api-key", "authorization", "cookie",
                           "transfer-encoding", "content-encoding", "accept", "range", "referer",
                           "if-none-match", "sec-fetch-site", "x-forwarded-for", "expect"))  # fmt: skip
        value = rng.choice((odd_number(rng), odd_text(rng), "bytes=0-1,2-3,-5", "chunked", "null"))
        found.append((name, value))
    return [(name.encode("latin-1"), value.encode("utf-8", "replace")) for name, value in found]


def form(rng: Random) -> bytes:
    """A form with sounds, some of its parts damaged."""
    parts = []
    for number in range(rng.choice((0, 1, 1, 1, 2, 40))):
        name = (
            odd_text(rng).replace("\n", rng.choice(("", "\n"))) if rng.random() < 0.6 else "a.wav"
        )
        disposition = f'Content-Disposition: form-data; name="f{number}"; filename="{name}"'
        if rng.random() < 0.1:
            disposition = rng.choice(("", "Content-Disposition: x", disposition * 2, odd_text(rng)))
        lines = [disposition.encode("utf-8", "surrogatepass"), b"Content-Type: audio/wav", b""]
        content = SOUND if rng.random() < 0.5 else mutated_bytes(SOUND, [SOUND], rng)
        parts.append(b"\r\n".join([f"--{BOUNDARY}".encode(), *lines, content]))
    body = b"\r\n".join([*parts, f"--{BOUNDARY}--".encode(), b""])
    return mutated_bytes(body, [body], rng, 2) if rng.random() < 0.5 else body


def body(kind: str, rng: Random) -> bytes:
    """A body for a type: a form, JSON values, or a sound."""
    if kind.startswith("multipart"):
        return form(rng)
    if kind == "application/json":
        value: Any = {"class": "dog", "start": 0.0, "end": 0.1, "name": "a", "names": ["a"]}
        return json_document(mutated_value(value, rng), rng).encode("utf-8", "replace")
    return rng.choice((b"", SOUND, mutated_bytes(SOUND, [SOUND], rng), json.dumps([1]).encode()))


def chunks(content: bytes, rng: Random) -> list[int]:
    """Sizes of the pieces in which a body arrives."""
    return [rng.choice((1, 7, 100, 100_000)) for _ in range(rng.choice((0, 0, 1, 3)))]


def cut(content: bytes, sizes: list[int]) -> list[bytes]:
    """The pieces."""
    found, place = [], 0
    for size in sizes:
        found.append(content[place : place + size])
        place += size
    return [*found, content[place:]]
