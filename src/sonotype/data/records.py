"""Records of clips as read from a source, before validation, and helpers of the readers."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sonotype.core.errors import DataIssue
from sonotype.core.io import is_folder
from sonotype.data.file_names import Names
from sonotype.data.suffixes import SOUND_SUFFIXES


@dataclass(frozen=True)
class ClipRecord:
    """One clip as its source lists it.

    Attributes:
        path: the sound file.
        labels: from coarse to fine; an empty text if not known. The first label is required.
        group: the recording it comes from; empty if not known.
        fold: the official fold as text; empty if the source has none.
        file: the table that lists the clip; empty for folders of classes.
        line: its line (1-based) in that table.
        text: the path as written in the table.
        label_sets: by level any number of labels, in place of ``labels``. A missing level is not
            known.
        uncertain: by level the classes that may be present or not.
    """

    path: Path
    labels: tuple[str, ...]
    group: str = ""
    fold: str = ""
    file: str = ""
    line: int = 0
    text: str = ""
    label_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    uncertain: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def label(self, depth: int) -> str:
        """The label on a level, counted from 0; empty if not known."""
        return self.labels[depth] if depth < len(self.labels) else ""

    def issue(self, cause: str) -> DataIssue:
        """An issue of this clip, at its line in the table."""
        if not self.file:
            return DataIssue(str(self.path), 0, cause)
        return DataIssue(self.file, self.line, f"{self.text}: {cause}" if self.text else cause)


NEGATIVE = frozenset({"background", "noise", "silence", "other", "none", "unknown"})
"""Labels of sounds that belong to no class."""


def is_negative(label: str) -> bool:
    """Whether a label says that a sound belongs to no class, such as ``_background_noise_``."""
    words = label.casefold().replace("_", " ").replace("-", " ").split()
    return bool(words) and NEGATIVE.issuperset(words)


@dataclass(frozen=True)
class Listing:
    """A source as it was read: its clips, and the issues met while reading.

    Attributes:
        source: the folder or file, named in error messages.
        name: short name for the manifest.
        records: the clips.
        issues: issues of the source itself (a missing column, a folder without sounds).
        grouped: see ``Manifest``, as for the next attribute.
        folds_are_subsets: see ``Manifest``.
        labelled: ``False`` if an issue already says that there are no labels at all.
        synthetic: see ``Manifest``, as for the next two.
        licence: licence of the recordings.
        citation: what to cite.
        several: whether clips can have several labels; all records then have ``label_sets``.
    """

    source: Path
    name: str
    records: tuple[ClipRecord, ...]
    issues: tuple[DataIssue, ...] = ()
    grouped: bool = False
    folds_are_subsets: bool = False
    labelled: bool = True
    synthetic: bool = False
    licence: str = ""
    citation: str = ""
    several: bool = False


def is_sound(path: Path) -> bool:
    """Whether the suffix is that of a sound file, and the file is not hidden."""
    return path.suffix.lower() in SOUND_SUFFIXES and not path.name.startswith(".")


def normalise_label(label: str) -> str:
    """A label without outer blanks, in Unicode NFC, so that equal names are one class."""
    return nfc(label.strip())


def nfc(text: str) -> str:
    """A text in the composed form of Unicode (NFC)."""
    return unicodedata.normalize("NFC", text)


class SoundFolder:
    """The sounds of one folder by name; the extension may differ from the table's."""

    def __init__(self, folder: Path) -> None:
        self._names = Names()
        self.folder = self._names.find(folder)
        entries = sorted(self.folder.iterdir()) if is_folder(self.folder) else []
        sounds = [entry for entry in entries if is_sound(entry)]
        self._by_stem = {nfc(entry.stem): entry for entry in sounds}
        self._by_stem |= {entry.stem: entry for entry in sounds}

    def find(self, name: str) -> Path:
        """The file of that name, else the file with its stem, else the expected path."""
        path = self._names.find(self.folder / name)
        if os.path.isfile(path):  # noqa: PTH113 (of a name that is too long, too)
            return path
        stem = path.stem if path.suffix.lower() in SOUND_SUFFIXES else path.name
        return self._by_stem.get(stem) or self._by_stem.get(nfc(stem), path)
