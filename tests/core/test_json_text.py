from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sonotype.core.json_text import json_text, json_value, read_json


def strict(text: str) -> Any:
    """What a parser reads that knows JSON alone."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_numbers_that_json_does_not_know_are_null(value: float) -> None:
    values = {"a": value, "b": [1, (value, 2.5)], "c": {"d": value}}
    assert strict(json_text(values)) == {"a": None, "b": [1, [None, 2.5]], "c": {"d": None}}


def test_all_else_is_as_json_dumps_has_it() -> None:
    values = {"ü": [1, 2.5, True, None, "NaN"], "x": {"y": (0, -1e-300)}, "z": {}}
    assert json_text(values) == json.dumps(values)
    how: dict[str, Any] = {"indent": 2, "ensure_ascii": False, "sort_keys": True}
    assert json_text(values, **how) == json.dumps(values, **how)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * 101 + "]" * 101, "nested too deeply"),
        ('{"a": ' * 101 + "0" + "}" * 101, "nested too deeply"),
        ("1" + "0" * 400, "has more than 64 bits"),
        (str(2**64), "has more than 64 bits"),
        (f"[{-(2**63) - 1}]", "has more than 64 bits"),
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        (b"\xff", "invalid start byte"),
        (None, "NoneType in place of a JSON text"),
        (5, "int in place of a JSON text"),
    ],
)
def test_texts_that_are_refused(text: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        json_value(text)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1e999", "-1e999"])
def test_numbers_that_are_not_finite_are_refused_on_request(text: str) -> None:
    assert json.dumps(json_value(text)) == json.dumps(json.loads(text))
    with pytest.raises(ValueError, match="is not finite"):
        json_value(text, finite=True)


@pytest.mark.parametrize(
    "value",
    [{"a": [1, 2.5, -3e-7, True, None, "ü"]}, 2**64 - 1, -(2**63), [[]] * 1000, [{"a": [0]}] * 200],
)
def test_what_the_program_writes_is_read(value: Any) -> None:
    for text in (json_text(value), json_text(value).encode()):
        for finite in (False, True):
            assert json_value(text, finite=finite) == value
    deep = "[" * 100 + "]" * 100
    assert json_value(deep) == json.loads(deep)
    assert json_value("1" + "0" * 400, wide=True) == 10**400


def test_a_file_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": NaN}')
    assert math.isnan(read_json(path, encoding="utf-8-sig")["a"])
    with pytest.raises(ValueError, match="is not finite"):
        read_json(path, encoding="utf-8-sig", finite=True)
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="invalid start byte"):
        read_json(path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "b.json")
