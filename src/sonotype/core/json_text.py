"""Strict JSON text, and the reading of JSON that may be damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sonotype.core.io import read_saved

DEEPEST = 100
"""Lists and objects inside each other; what the program writes has a few."""
LONGEST_INTEGER = 20
"""Characters of the longest integers of 64 bits."""


def json_text(value: Any, **options: Any) -> str:
    """The value as JSON; NaN and infinite numbers, which JSON does not have, become null.

    Args:
        value: mappings, lists, tuples, strings, numbers, booleans and ``None``.
        options: of :func:`json.dumps`.
    """
    return json.dumps(_finite(value), allow_nan=False, **options)


def json_value(text: str | bytes, *, finite: bool = False, wide: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        text: any text. Bytes are UTF-8, UTF-16 or UTF-32. Another value is refused as well, since a
            damaged database can have one in the place of a text.
        finite: refuse NaN and infinite numbers, which Python reads and earlier versions wrote.
        wide: take integers of any size; else those of more than 64 bits are refused, since most
            libraries cannot take them.

    Raises:
        ValueError: the text is no JSON, has a refused number, or is nested too deeply. It is a
            ``json.JSONDecodeError``, with line and column, where the place is known.
    """
    hooks: dict[str, Any] = {}
    if finite:
        hooks |= {"parse_float": _finite_number, "parse_constant": _finite_number}
    if not wide:
        hooks["parse_int"] = _integer
    try:
        value = json.loads(text, **hooks)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except TypeError:
        raise ValueError(f"{type(text).__name__} in place of a JSON text") from None
    _check_depth(value, text)
    return value


def read_json(path: Path, *, encoding: str = "utf-8", finite: bool = False) -> Any:
    """The value of a JSON file.

    Args:
        path: of the file.
        encoding: of the file.
        finite: as for :func:`json_value`.

    Raises:
        OSError: the file cannot be read, or is no regular file.
        ValueError: as for :func:`json_value`, or the bytes are no text in this encoding.
    """
    return json_value(read_saved(path).decode(encoding), finite=finite)


_TOO_DEEP = "its values are nested too deeply"


def _check_depth(value: Any, text: str | bytes) -> None:
    """Raise a ``ValueError`` for deep values: functions that call themselves cannot take them."""
    brackets = (
        text.count("[") + text.count("{")
        if isinstance(text, str)
        else text.count(b"[") + text.count(b"{")
    )
    if brackets <= DEEPEST:
        return
    level = [value]
    for _ in range(DEEPEST + 1):
        parts = [one for one in level if isinstance(one, dict | list)]
        if not parts:
            return
        level = [
            entry for one in parts for entry in (one.values() if isinstance(one, dict) else one)
        ]
    raise ValueError(_TOO_DEEP)


def _integer(text: str) -> int:
    value = int(text) if len(text) <= LONGEST_INTEGER else None
    if value is None or not -(2**63) <= value < 2**64:
        raise ValueError(f"the integer {_shortened(text)} has more than 64 bits")
    return value


def _finite_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {_shortened(text)} is not finite")
    return value


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
