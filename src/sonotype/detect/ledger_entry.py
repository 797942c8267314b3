"""What the ledger of a detection job knows about a recording, besides its events."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonotype.core.detections import DetectedEvent
from sonotype.core.io import stays_inside
from sonotype.detect.output_options import FORMATS

LARGEST = 1e9
"""Of times in seconds, frequencies in Hz and scores; a recording of 30 years is as long."""


LONGEST_NAME = 255
"""Bytes of the name of a file."""


@dataclass(frozen=True)
class Stamp:
    """What the events of a recording depend on.

    Attributes:
        size: of the file in bytes; -1 if there is no such file.
        modified: time of modification in nanoseconds; -1 likewise.
        digest: of the detector: its models and options.
    """

    size: int
    modified: int
    digest: str

    def still_holds(self, now: Stamp) -> bool:
        """Whether the events are those of the recording now, or its last ones if it is missing."""
        return self == now or (now.size < 0 and self.digest == now.digest)

    @classmethod
    def of(cls, path: Path, digest: str) -> Stamp:
        """The stamp of a file as it is now."""
        try:
            status = path.stat()
        except (OSError, ValueError):
            return cls(-1, -1, digest)
        return cls(status.st_size, status.st_mtime_ns, digest)


@dataclass(frozen=True)
class Outputs:
    """The files of one recording.

    Attributes:
        name: of the recording in the folders of labels and pictures.
        clip_name: of the recording in the names of its clips.
        formats: of its label files.
        margin: of its clips in seconds; ``None`` for no clips.
        picture: whether it has a picture.
    """

    name: str
    clip_name: str
    formats: tuple[str, ...] = ()
    margin: float | None = None
    picture: bool = False

    @classmethod
    def of(cls, values: Any) -> Outputs:
        """Those of JSON values.

        Raises:
            ValueError, TypeError, KeyError: a value is invalid, or a name is not that of a file in
                a folder.
        """
        found = cls(**values | {"formats": tuple(values["formats"])})
        names = (found.name, found.clip_name)
        if not all(isinstance(name, str) and stays_inside(name) for name in names):
            raise ValueError("a name outside of the folder")
        if any(len(os.fsencode(part)) > LONGEST_NAME for name in names for part in name.split("/")):
            raise ValueError("a name that no file can have")
        if not set(FORMATS).issuperset(found.formats) or not isinstance(found.picture, bool):
            raise ValueError("unknown formats, or no answer about the picture")
        if found.margin is not None:
            number_of(found.margin)
        return found

    def covers(self, wanted: Outputs) -> bool:
        """Whether nothing of the wanted files is missing."""
        return self == self.joined(wanted)

    def joined(self, wanted: Outputs) -> Outputs:
        """The wanted files, and those of these that are not replaced by them."""
        return Outputs(
            wanted.name,
            wanted.clip_name,
            tuple(dict.fromkeys((*self.formats, *wanted.formats))),
            self.margin if wanted.margin is None else wanted.margin,
            self.picture or wanted.picture,
        )


@dataclass(frozen=True)
class Entry:
    """The state of a recording.

    Attributes:
        stamp: at its detection.
        failed: whether the recording could not be read to its end.
        outputs: its files; ``None`` if they may be of another result.
        complete: whether all of them are written.
    """

    stamp: Stamp
    failed: bool
    outputs: Outputs | None
    complete: bool


def number_of(value: Any) -> float:
    """A stored time, frequency or score.

    Raises:
        TypeError, ValueError: it is no number from 0 to :data:`LARGEST`.
    """
    if type(value) not in (int, float):
        raise TypeError(f"{value!r:.40} is no number")
    if not 0 <= value <= LARGEST:
        raise ValueError(f"{value!r:.40} is no time, frequency or score")
    return float(value)


def require_labels(events: Iterable[DetectedEvent], classes: Collection[str]) -> None:
    """Raise a ``ValueError`` if an event has a label that is no class of its detector."""
    if others := {event.label for event in events} - {*classes}:
        raise ValueError(f"the label {min(others)!r:.40} is no class")
