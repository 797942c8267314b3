"""Detected events for tests: usual ones, and such as are hard to write."""

from __future__ import annotations

from pathlib import Path

from sonotype.core.detections import DetectedEvent, DetectedRecording

NAMES = (
    "night.wav", "a b,c;d.wav", 'say "hi".wav', '"quoted".wav', "Zürich 夜 🦉.wav", "it's #1.wav",
    "a.b.2.wav", "-.wav",
)  # fmt: skip
"""Names that every format holds."""

LABELS = (
    "owl", 'say "hu"', '"hu"', '"', "owl, tawny", "Käuz 夜 🦉", "a\\b", "'s", "! x", "<exists>",
    "3.5", "#", "\\", "=1+1", "--undefined--",
)  # fmt: skip
"""Classes that every format holds."""


def recording(
    path: Path | str, *events: DetectedEvent, seconds: float = 10.0, error: str = ""
) -> DetectedRecording:
    return DetectedRecording(Path(path), seconds, events, highest=8000.0, error=error)


def event(
    start: float, end: float, label: str = "owl", score: float = 0.75, **band: float
) -> DetectedEvent:
    return DetectedEvent(start, end, label, score, **band)


def one_of_each() -> list[DetectedEvent]:
    """An event of each class, one after the other, half of them with frequencies."""
    return [
        event(0.5 * place, 0.5 * place + 0.123457, label, **({"low": 100.5, "high": 4000.0}
        if place % 2 else {}))
        for place, label in enumerate(LABELS)
    ]  # fmt: skip


def many(count: int, label: str = "owl") -> list[DetectedEvent]:
    """Events of one class, a second apart, with times that are no round numbers."""
    return [event(n + 1 / 3, n + 2 / 3, label, 1 / (n + 2)) for n in range(count)]
