"""What a detection job writes. Nothing here imports numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sonotype.config import option
from sonotype.core.errors import OptionsError
from sonotype.core.text import listed

PER_RECORDING = ("audacity", "textgrid")
"""Formats that always have one file for each recording."""

FORMATS = ("csv", "jsonl", "parquet", "raven", "kaleidoscope", *PER_RECORDING)


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The files that a detection job writes."""

    formats: tuple[str, ...] = option(
        ("csv",),
        f"Formats, as in csv,raven; {', '.join(FORMATS)}",
        flag="format",
        metavar="FORMATS",
        common=True,
    )
    table: Literal["one", "per-file"] = option(
        "one",
        "One table, or one for each file; audacity and textgrid always write a file for each "
        "recording",
        common=True,
    )
    clips: bool = option(
        False,
        "Cut each event out as a sound file; clips/LABEL/RECORDING_START-END.wav",
        common=True,
    )
    margin: float = option(
        0.5,
        "Seconds of a clip around its event; before and after it",
        low=0,
        high=60,
        metavar="SECONDS",
        common=True,
    )
    picture: bool = option(
        True, "Draw the scores over time; a picture for each recording", common=True
    )
    retry: bool = option(
        False,
        "Try unreadable recordings again; without it, only if they changed",
        common=True,
    )
    prune: bool = option(
        False,
        "Remove the results, with all files, of recordings of earlier starts that are not among "
        "the inputs",
    )

    def table_formats(self) -> tuple[str, ...]:
        """Formats with one table of all recordings."""
        if self.table == "per-file":
            return ()
        return tuple(name for name in self.all_formats() if name not in PER_RECORDING)

    def file_formats(self) -> tuple[str, ...]:
        """Formats with a file for each recording."""
        tables = self.table_formats()
        return tuple(name for name in self.all_formats() if name not in tables)

    def all_formats(self) -> tuple[str, ...]:
        """All formats once, in the order of the documentation.

        Raises:
            OptionsError: an unknown format.
        """
        names = [name.strip() for text in self.formats for name in text.split(",")]
        if unknown := [name for name in names if name not in FORMATS]:
            raise OptionsError(
                f"--format: {listed(map(repr, unknown))} unknown; use {', '.join(FORMATS)}"
            )
        return tuple(name for name in FORMATS if name in names)
