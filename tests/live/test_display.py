"""What the terminal shows."""

from __future__ import annotations

import numpy as np

from sonotype.core.detections import DetectedEvent, ScoreBlock
from sonotype.core.text import width
from sonotype.live.display import SHOWN_EVENTS, Lines, Screen, event_line, level, status_line
from sonotype.live.listener import Status
from sonotype.live.reports import Report

CLASSES = ("dog", "犬" * 30, "rain", "a", "b", "c")


def test_the_screen() -> None:
    screen = Screen(CLASSES, (0.5,) * 6, lambda: ["--exec: 1 event, 2 failed: x"])
    block = ScoreBlock(
        np.array([0.0, 1, 2]), np.array([[0.6, 0.1, 0, 0, 0, 0], [0.2, 0.4] + [0] * 4])
    )
    screen.update(Status(), block)
    for number in range(SHOWN_EVENTS + 3):
        screen.report(Report(DetectedEvent(number, number + 0.5, "dog", 0.6), 0.0))
    text = screen.text(Status(seconds=75, peak=0.1, dropped=12, behind=4.25))
    lines = text.plain.splitlines()
    assert lines[0].startswith("0:01:15  #")
    assert "-20 dB" in lines[0]
    assert "4.2 s behind" in lines[1]
    assert "12 samples lost" in lines[1]
    assert lines[2].startswith("dog")
    assert lines[2].endswith("*")
    assert "0.60" in lines[2]
    assert not lines[3].endswith("*")
    assert sum("0.5 s" in line for line in lines) == SHOWN_EVENTS
    assert lines[-1].startswith("--exec")
    assert max(map(width, lines)) <= 80


def test_level() -> None:
    assert level(1.0).startswith("#" * 20 + " 0 dB too loud")
    assert level(0.0).startswith("-" * 20 + " -99 dB")
    assert level(0.001) == "-" * 20 + " -60 dB"


def test_lines() -> None:
    lines: list[str] = []
    shown = Lines(lines.append, lambda report: event_line(report.event), lines.append)
    shown.update(Status())
    shown.report(Report(DetectedEvent(3725.97, 3727, "dog\nbark", 0.756), 0.0))
    assert lines == [" 1:02:05.9    1.0 s  0.76  dog bark"]


def test_a_stall_is_shown() -> None:
    line = status_line(Status(silent=5.4, invalid=3))
    assert "no sound for 5 s" in line
    assert "3 invalid" in line


def test_lines_warn_once_of_each_kind_of_trouble() -> None:
    warnings: list[str] = []
    notes: dict[str, str] = {}
    lines = Lines(print, lambda _: "", warnings.append, lambda: notes)
    lines.update(Status(seconds=1.0))
    assert warnings == []
    lines.update(Status(seconds=61.0, dropped=5))
    lines.update(Status(seconds=62.0, dropped=9, silent=2.5))
    notes["--exec"] = "--exec: 1 failed"
    for silent in (0.0, 9.0):
        lines.update(Status(dropped=9, silent=silent))
    assert len(warnings) == 3
    assert "5 samples lost" in warnings[0]
    assert "no sound for 2 s" in warnings[1]
    assert warnings[2] == "--exec: 1 failed"
