from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.types import Content
from sonotype.data.annotations.statistics import (
    ClassEvents,
    copies,
    events_of_classes,
    hours,
    hours_listened,
)

FIRST = AnnotatedRecording(
    Path("a.wav"),
    7200,
    (Event(0, 1, "x"), Event(0.1, 0.3, "y"), Event(2, 2.5, "x")),
    ((0, 1800), (3600, 5400)),
)
SECOND = AnnotatedRecording(Path("b.wav"), 1800, (Event(5, 15, "x"), Event(20, 22, "x")), ())


def test_events_of_classes() -> None:
    assert events_of_classes([FIRST, SECOND]) == (
        ClassEvents("x", 4, 2, 0.5, 1.5, 10.0),
        ClassEvents("y", 1, 1, 0.2, 0.2, 0.2),
    )
    assert events_of_classes([]) == ()


def test_hours() -> None:
    assert hours([FIRST, SECOND]) == pytest.approx(2.5)
    assert hours_listened([FIRST, SECOND]) == pytest.approx(1)


def test_copies() -> None:
    assert copies([FIRST, SECOND, FIRST]) == 0  # not known
    first = replace(FIRST, content=Content("f", "s"))
    second = replace(SECOND, content=Content("g", "s"))
    assert copies([first, second, SECOND]) == 1
