"""What the ledger of a detection job knows about a recording, besides its events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonotype.core.io import stays_inside
from sonotype.detect.output_options import FORMATS


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
        if not all(map(stays_inside, (found.name, found.clip_name))):
            raise ValueError("a name outside of the folder")
        if not set(FORMATS).issuperset(found.formats) or not isinstance(found.picture, bool):
            raise ValueError("unknown formats, or no answer about the picture")
        if found.margin is not None:
            float(found.margin)
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
