"""Values as JSON text that every parser reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def json_text(value: Any, **how: Any) -> str:
    """The value as JSON; a number that is NaN or infinite, for which JSON has no text, as null.

    Args:
        value: mappings, lists, tuples, texts, numbers, booleans and ``None``.
        how: further arguments of :func:`json.dumps`.
    """
    return json.dumps(_finite(value), allow_nan=False, **how)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
