"""How to listen to live sound. Nothing here imports numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sonotype.config import option
from sonotype.core.errors import OptionsError
from sonotype.core.text import listed

SampleFormat = Literal["s16le", "s24le", "s32le", "f32le"]

FORMATS = ("jsonl", "csv", "raven", "kaleidoscope", "audacity")
"""Formats to which an event can be added; the others of detect need the end of the recording."""

HIGHEST_RATE, MOST_CHANNELS = 768_000, 64


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """The samples of a microphone or of standard input; a WAV stream states its own."""

    input: str = option(
        "",
        "Microphone; its name or number [default: the system's]",
        metavar="DEVICE",
        common=True,
    )
    rate: int = option(
        0,
        "Sample rate; required for raw samples [default: the microphone's]",
        metavar="HZ",
        low=0,
        high=HIGHEST_RATE,
        common=True,
    )
    channels: int = option(
        1, "Channels, which are averaged", low=1, high=MOST_CHANNELS, common=True
    )
    sample_format: SampleFormat = option(
        "s16le", "s16le, s24le, s32le or f32le", metavar="FORMAT", common=True
    )


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """How to listen, and what to do with events."""

    every: float = option(1.0, "Compute scores every SECONDS", metavar="SECONDS", low=0.1, high=60)
    lookahead: float | None = option(
        None,
        "Sound to wait for before scores are computed; with less, they come earlier and differ "
        "more from those of detect [default: the length of a clip and 1 s]",
        metavar="SECONDS",
        low=0,
        high=60,
    )
    pause: float = option(
        0.0,
        "Time between events of a class; one that begins sooner after the last is not reported",
        metavar="SECONDS",
        low=0,
        high=1e6,
        common=True,
    )
    formats: tuple[str, ...] = option(
        ("jsonl",),
        f"Formats in --out; as in jsonl,raven; {', '.join(FORMATS)}",
        flag="format",
        metavar="FORMATS",
        common=True,
    )
    exec: str = option(
        "",
        "Run it for each event; {label}, {score}, {start} and {end} are replaced, without a shell",
        metavar="COMMAND",
        common=True,
    )
    webhook: str = option(
        "", "Send each event as JSON; POST, with retries", metavar="URL", common=True
    )
    when: Literal["end", "start"] = option(
        "end",
        "Run --exec and --webhook when an event is complete, or when a score reaches the threshold",
    )
    max_seconds: float = option(
        0.0, "Stop after so much sound [default: never]", metavar="SECONDS", low=0, common=True
    )

    def all_formats(self) -> tuple[str, ...]:
        """All formats once.

        Raises:
            OptionsError: a format to which no event can be added, or an unknown format.
        """
        names = [name.strip() for text in self.formats for name in text.split(",")]
        if unknown := [name for name in names if name not in FORMATS]:
            raise OptionsError(
                f"--format: {listed(map(repr, unknown))} cannot be written event by event; use "
                f"{', '.join(FORMATS)}"
            )
        return tuple(name for name in FORMATS if name in names)
