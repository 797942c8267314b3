"""Which cluster is used."""

from __future__ import annotations

from typing import Any

import pytest

from sonotype.archive.ray_engine import connect

pytestmark = pytest.mark.filterwarnings("default")  # Ray and its parts warn


@pytest.mark.parametrize(
    ("address", "variable", "used"),
    [("", "", "local"), ("", "10.0.0.1:6379", "10.0.0.1:6379"), ("auto", "10.0.0.1:6379", "auto")],
)
def test_the_address(
    monkeypatch: pytest.MonkeyPatch, address: str, variable: str, used: str
) -> None:
    """Without one it is a new cluster, not the last one of this machine, which may be killed."""
    ray = pytest.importorskip("ray")
    given: list[Any] = []
    monkeypatch.setenv("RAY_ADDRESS", variable)
    monkeypatch.setattr(ray, "is_initialized", lambda: bool(given))
    monkeypatch.setattr(ray, "init", lambda where, **_: given.append(where))
    connect(address)
    assert given == [used]
