"""The project: a folder with a folder of sounds for each class, and the runs trained from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ClipFile:
    """A sound of a class.

    Attributes:
        label: the class.
        file: name of the file.
        path: the file.
        seconds: length; ``None`` if it cannot be read.
        added: time of the last change of the file in seconds since 1970.
        sha256: hex digest of its bytes.
    """

    label: str
    file: str
    path: Path
    seconds: float | None
    added: float
    sha256: str


class Project:
    """Classes and clips of a folder, and the settings of the project.

    Nothing is made on the disk before something is saved. Every method may be called in any thread.
    Errors of use are a ``ProblemError`` with a sentence for the person.

    Attributes:
        folder: absolute path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    @property
    def hidden(self) -> Path:
        """The folder of everything that is no clip: settings, runs, trash."""
        return self.folder / ".sonotype"

    @property
    def runs(self) -> Path:
        """The folder of the run folders."""
        return self.hidden / "runs"

    @property
    def backbone(self) -> str:
        """The backbone that the next training uses."""
        raise NotImplementedError

    def set_backbone(self, name: str) -> None:
        """Choose the backbone of the next training; known to ``training``."""
        raise NotImplementedError

    def classes(self) -> list[str]:
        """Names of the class folders, sorted; negatives are among them."""
        raise NotImplementedError

    def clips(self, label: str) -> list[ClipFile]:
        """The sounds of a class, the newest first."""
        raise NotImplementedError

    def clip(self, label: str, file: str) -> ClipFile:
        """One sound of a class."""
        raise NotImplementedError

    def add_class(self, name: str) -> str:
        """Make a class; returns its safe name."""
        raise NotImplementedError

    def rename_class(self, label: str, name: str) -> str:
        """Rename a class; returns the new safe name."""
        raise NotImplementedError

    def remove_class(self, label: str) -> None:
        """Move a class with its sounds into the trash."""
        raise NotImplementedError

    def store(self, label: str, name: str, source: Path) -> tuple[ClipFile, bool]:
        """Move a complete file into a class (made if missing) under a safe, free name.

        Returns:
            The clip, and ``True``; for a content that the class has, that clip and ``False``.
        """
        raise NotImplementedError

    def move(self, label: str, file: str, to: str) -> ClipFile:
        """Move a sound to another class."""
        raise NotImplementedError

    def trash(self, label: str, file: str) -> None:
        """Move a sound into the trash."""
        raise NotImplementedError

    def require_writable(self) -> None:
        """Raise a ``ProblemError`` where nothing can be written; makes the hidden folder."""
        raise NotImplementedError
