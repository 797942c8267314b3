"""Whether a dataclass that was read from a file has the types of its fields."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

LARGEST, MOST = 1e9, 2**53
"""Limits of scores and of counts; those that the program writes are far below."""

Kind = TypeVar("Kind")


def checked(found: Kind) -> Kind:
    """A dataclass, if its fields have their types.

    The types are numbers, texts, literals, tuples, and dataclasses that were checked themselves.

    Raises:
        TypeError: a field has another type, or a number is not finite or too large; names it.
    """
    kind: type = type(found)
    hints = _hints(kind)
    for item in fields(found):  # type: ignore[arg-type]
        value = getattr(found, item.name)
        if not _fits(value, hints[item.name]):
            raise TypeError(f"{item.name} is {repr(value)[:40]}")
    return found


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    if NoneType in get_args(hint):
        if value is None:
            return True
        [hint] = set(get_args(hint)) - {NoneType}
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(one, get_args(hint)[0]) for one in value)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if hint is float:
        return type(value) in (int, float) and -LARGEST <= value <= LARGEST
    if hint is int:
        return type(value) is int and 0 <= value <= MOST
    return isinstance(value, hint) and (hint is str or is_dataclass(hint))
