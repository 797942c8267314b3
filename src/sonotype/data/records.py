"""What a source says of its clips, before anyone has judged it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sonotype.core.errors import DataIssue
from sonotype.data.names import Names

# fmt: off
SOUND_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".alac", ".amr", ".ape", ".asf",
    ".au", ".avi", ".awb", ".caf", ".dsf", ".dts", ".eac3", ".f4v", ".flac", ".flv", ".gsm",
    ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp1", ".mp2", ".mp3", ".mp4",
    ".mpc", ".mpeg", ".mpg", ".mts", ".nist", ".oga", ".ogg", ".ogv", ".oma", ".opus", ".ra",
    ".rf64", ".rm", ".snd", ".sph", ".spx", ".tak", ".tta", ".vob", ".voc", ".w64", ".wav",
    ".wave", ".weba", ".webm", ".wma", ".wmv", ".wv",
})
# fmt: on
"""Names of the formats that are decoded, of videos for their sound; compared without regard to
case."""


@dataclass(frozen=True)
class ClipRecord:
    """One clip as its source tells it.

    Attributes:
        path: the sound file.
        category: coarse label; empty where the source has none, which is a fault.
        event: fine label; empty where it is not known.
        group: the recording it comes from; empty where the source does not tell.
        fold: the official fold as text; empty where the source has none.
        file: the table that lists the clip; empty where the folders themselves are the source.
        line: its line (1-based) in that table.
        text: the path as the table has it.
    """

    path: Path
    category: str
    event: str = ""
    group: str = ""
    fold: str = ""
    file: str = ""
    line: int = 0
    text: str = ""

    def issue(self, cause: str) -> DataIssue:
        """Something wrong with this clip, at the place where its source lists it."""
        if not self.file:
            return DataIssue(str(self.path), 0, cause)
        return DataIssue(self.file, self.line, f"{self.text}: {cause}" if self.text else cause)


@dataclass(frozen=True)
class Listing:
    """A source as it was read: its rows, and the faults met while reading.

    Attributes:
        source: what to name in front of the faults, a folder or a file.
        name: short name for the manifest.
        rows: the clips.
        issues: what is wrong with the source itself (a missing column, a folder without sounds).
        grouped: whether ``ClipRecord.group`` was told by the source, a column or a pattern.
        parted: whether ``ClipRecord.fold`` is a part that a folder is named after, see ``Manifest``.
        labelled: ``False`` where a fault already says that there are no labels at all.
        synthetic: see ``Manifest``, as for the next two.
        licence: licence of the recordings.
        citation: what to cite.
    """

    source: Path
    name: str
    rows: tuple[ClipRecord, ...]
    issues: tuple[DataIssue, ...] = ()
    grouped: bool = False
    parted: bool = False
    labelled: bool = True
    synthetic: bool = False
    licence: str = ""
    citation: str = ""


def is_sound(path: Path) -> bool:
    """Whether the name is that of a sound file, and not of a hidden one."""
    return path.suffix.lower() in SOUND_SUFFIXES and not path.name.startswith(".")


def tidy(label: str) -> str:
    """A label without outer blanks, in the composed form of Unicode.

    File systems hand out the same accented name composed or decomposed; unless they are made
    equal, they would be two classes.
    """
    return composed(label.strip())


def composed(text: str) -> str:
    """A text in the composed form of Unicode (NFC)."""
    return unicodedata.normalize("NFC", text)


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 clip``, ``2 clips``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Iterable[object], most: int = 10) -> str:
    """Names for a message, at most so many of them."""
    texts = [str(name) for name in names]
    if len(texts) <= most:
        return ", ".join(texts)
    return f"{', '.join(texts[:most])} and {len(texts) - most} more"


class SoundFolder:
    """The sounds of one folder by name, also where the extension is another than the table's."""

    def __init__(self, folder: Path) -> None:
        self._names = Names()
        self.folder = self._names.find(folder)
        entries = sorted(self.folder.iterdir()) if self.folder.is_dir() else []
        sounds = [entry for entry in entries if is_sound(entry)]
        self._by_stem = {composed(entry.stem): entry for entry in sounds}
        self._by_stem |= {entry.stem: entry for entry in sounds}

    def find(self, name: str) -> Path:
        """The file of that name, else the one with its stem, else the path where it should be."""
        path = self._names.find(self.folder / name)
        if os.path.isfile(path):  # noqa: PTH113 (of a name that is too long, too)
            return path
        stem = path.stem if path.suffix.lower() in SOUND_SUFFIXES else path.name
        return self._by_stem.get(stem) or self._by_stem.get(composed(stem), path)
