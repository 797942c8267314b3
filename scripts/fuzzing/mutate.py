"""Mutations of bytes, texts, tables and JSON values; all random numbers are given."""

# ruff: noqa: E501 - tables of odd values

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

INTEGERS = (
    0, 1, 2, 3, 4, 7, 8, 12, 15, 16, 24, 31, 32, 63, 64, 100, 127, 128, 255, 256, 1000, 1023, 1024,
    4095, 4096, 8000, 32767, 32768, 44100, 65535, 65536, 2**24 - 1, 2**24, 2**31 - 1, 2**31,
    2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1,
)  # fmt: skip
"""Values at the limits of sizes, counts, rates and channels."""

TEXTS = (
    "", " ", ".", "..", "../../outside", "..\\..\\outside", "/etc/passwd", "/", "//", "C:\\outside",
    "~", "~/x", "a/b", "a\nb", "a\r\nb", "a\tb", "a\0b", "\0", "\ufeff", "\u202egpj.wav", "é",
    "e\u0301", "鳥", "🦉", "\x1b[31m", "=1+1", "@SUM(A1)", "-1", "nan", "NaN", "inf", "-inf", "1e309",
    "1e-400", "-0", "0x10", "1_000", "٣", "9" * 400, "1" + "0" * 5000, "<script>alert(1)</script>",
    "{{ 7 * 7 }}", "${x}", "%s%n", "'; DROP TABLE x; --", "x" * 300, "x" * 5000, "CON", "nul.txt",
    "aux.wav", "a" * 250 + ".wav", '"', '""', "'", ";", ",", "\\", "a;b;c", "true", "null", "[]",
    "{}", "!!python/object/apply:os.system [x]", "\ud800", "\udcff", ".hidden", "trailing.", "tail ",
)  # fmt: skip
"""Texts that names, cells and fields are replaced by."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1e308, 1e-308, -1e308, float("nan"), float("inf"),
    float("-inf"), 2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 10**400, [], {}, [[]], [None], [0] * 50,
    {"": ""}, {"name": {}}, [1, "a", None, {}], "0", "1", 16000, 48000, 1e9, 10**9, 10**6,
)  # fmt: skip


def mutated_bytes(content: bytes, others: Sequence[bytes], rng: Random, most: int = 4) -> bytes:
    """The content after one to ``most`` mutations.

    Args:
        content: of a valid file.
        others: contents of other valid files, to take parts of.
        rng: the random numbers.
        most: number of mutations.
    """
    data = bytearray(content)
    for _ in range(rng.randint(1, most)):
        rng.choice(_BYTES)(data, others, rng)
    return bytes(data)


def _place(data: bytearray, rng: Random) -> int:
    """A position; those of the header more often."""
    end = len(data)
    return rng.randrange(min(end, rng.choice((16, 64, 256, end)) or 1) or 1) if end else 0


def _flip(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _byte(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    if data:
        data[_place(data, rng)] = rng.choice((0, 1, 127, 128, 254, 255, rng.randrange(256)))


def _integer(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    size = rng.choice((1, 2, 3, 4, 4, 8))
    place = _place(data, rng)
    value = rng.choice(INTEGERS) & (1 << 8 * size) - 1
    data[place : place + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _delete(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    place = _place(data, rng)
    del data[place : place + _length(data, rng)]


def _duplicate(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    place = _place(data, rng)
    chunk = data[place : place + _length(data, rng)]
    data[place:place] = chunk * rng.choice((1, 1, 2, 20))


def _noise(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    place = _place(data, rng)
    data[place : place + rng.choice((0, 4, 16))] = rng.randbytes(rng.choice((1, 4, 16, 64)))


def _zeros(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    place, size = _place(data, rng), _length(data, rng)
    data[place : place + size] = bytes([rng.choice((0, 255))]) * min(size, len(data) - place)


def _splice(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    other = rng.choice(others)
    place, source = _place(data, rng), _place(bytearray(other), rng)
    size = _length(data, rng)
    data[place : place + rng.choice((0, size))] = other[source : source + size]


def _truncate(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    del data[_place(data, rng) :]


def _join(data: bytearray, others: Sequence[bytes], rng: Random) -> None:
    other = rng.choice(others)
    data[:] = data + other if rng.random() < 0.5 else other + data


def _length(data: bytearray, rng: Random) -> int:
    return rng.randint(1, max(1, min(len(data), rng.choice((4, 16, 64, 1024)))))


_BYTES: tuple[Callable[[bytearray, Sequence[bytes], Random], None], ...] = (
    *(_flip, _flip, _byte, _byte, _integer, _integer, _integer, _delete, _duplicate, _noise),
    *(_zeros, _splice, _truncate, _join),
)


def odd_text(rng: Random) -> str:
    """A text for a name, a cell or a field."""
    if rng.random() < 0.8:
        return rng.choice(TEXTS)
    return "".join(chr(rng.choice((rng.randrange(128), rng.randrange(0xD7FF)))) for _ in range(6))


def odd_number(rng: Random) -> str:
    """A number as text, usual or not."""
    value = rng.choice((rng.uniform(-5, 15), rng.choice(INTEGERS), -rng.choice(INTEGERS)))
    return rng.choice((str(value), f"{value:.6e}", f"{value:g}".replace(".", ","), odd_text(rng)))


def encoded(text: str, rng: Random) -> bytes:
    """The text in UTF-8, sometimes in another encoding, or with stray bytes."""
    if rng.random() < 0.85:
        return text.encode("utf-8", "surrogatepass")
    coding = rng.choice(("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"))
    return text.encode(coding, "replace")


def mutated_text(text: str, rng: Random, most: int = 3) -> str:
    """The text with fields replaced, and lines deleted, repeated, joined or in another order."""
    lines = text.split("\n")
    for _ in range(rng.randint(1, most)):
        place, action = rng.randrange(len(lines)), rng.randrange(8)
        if action == 0 and len(lines) > 1:
            del lines[place]
        elif action == 1:
            lines[place:place] = [lines[place]] * rng.choice((1, 2, 30))
        elif action == 2:
            other = rng.randrange(len(lines))
            lines[place], lines[other] = lines[other], lines[place]
        elif action == 3:
            lines[place] += lines[rng.randrange(len(lines))]
        else:
            lines[place] = _with_field(lines[place], rng)
    return rng.choice(("\n", "\n", "\n", "\r\n", "\r")).join(lines)


def _with_field(line: str, rng: Random) -> str:
    """The line with one of its fields replaced, dropped or repeated."""
    separators = [one for one in ("\t", ",", ";", " = ", " ") if one in line]
    if not separators:
        return odd_text(rng)
    separator = rng.choice(separators)
    fields = line.split(separator)
    place = rng.randrange(len(fields))
    action = rng.randrange(6)
    if action == 0:
        del fields[place]
    elif action == 1:
        fields[place:place] = [fields[place]] * rng.choice((1, 3))
    elif action == 2:
        fields[place] = odd_number(rng)
    else:
        fields[place] = odd_text(rng)
    return (separator if rng.random() < 0.95 else rng.choice(",;\t|")).join(fields)


def mutated_value(value: Any, rng: Random, most: int = 3) -> Any:
    """A JSON value with some of its entries replaced, removed or repeated."""
    whole = [copy.deepcopy(value)]
    for _ in range(rng.randint(1, most)):
        parent, key = _entry(whole, rng)
        action = rng.randrange(8)
        if action == 0 and parent is not whole:
            del parent[key]
        elif action == 1 and isinstance(parent, list) and parent is not whole:
            parent[key:key] = [parent[key]] * rng.choice((1, 2, 100))
        elif action == 2 and isinstance(parent, dict):
            parent[_key(rng)] = parent.pop(key)
        elif action == 3 and isinstance(parent[key], int | float):
            parent[key] = rng.choice((-parent[key], parent[key] * 1000, parent[key] + 1, 0, 0.1))
        else:
            parent[key] = odd_value(rng)
    return whole[0]


def _entry(whole: list[Any], rng: Random) -> tuple[Any, Any]:
    """A container and the key of a random entry; deep entries are as likely as others."""
    found: list[tuple[Any, Any]] = []
    waiting: list[Any] = [whole]
    while waiting and len(found) < 5000:
        parent = waiting.pop()
        keys = parent if isinstance(parent, dict) else range(len(parent))
        for key in keys:
            found.append((parent, key))
            if isinstance(parent[key], dict | list):
                waiting.append(parent[key])
    return rng.choice(found)


def _key(rng: Random) -> str:
    return odd_text(rng).encode("utf-8", "replace").decode()


def odd_value(rng: Random) -> Any:
    """A JSON value of any type."""
    choice = rng.random()
    if choice < 0.6:
        return copy.deepcopy(rng.choice(VALUES))
    if choice < 0.9:
        return odd_text(rng)
    deep: Any = rng.choice((0, "x", None))
    for _ in range(rng.choice((3, 50))):
        deep = [deep] if rng.random() < 0.5 else {"a": deep}
    return deep


def json_document(value: Any, rng: Random) -> str:
    """The JSON text of a value; sometimes with repeated keys, deep nesting, or damage."""
    try:
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    except (ValueError, RecursionError):
        text = "{}"
    choice = rng.random()
    if choice < 0.85 or len(text) < 2:
        return text
    if choice < 0.88:
        return text[:-1] + "," + text[1:]  # each key twice
    if choice < 0.9:
        return "[" * rng.choice((10, 5000, 200_000)) + text
    place = rng.randrange(len(text))
    return text[:place] + rng.choice((odd_text(rng), "", "NaN", "-", "1e999", "\\ud800", '"'))
