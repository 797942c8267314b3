from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from sonotype.core.json_text import json_text


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
