"""What files hold, as digests; each file is read for it once, and must not change afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sonotype.ahead import ahead
from sonotype.data.rows import content_of
from sonotype.errors import AudioError, SonotypeError

Stamp = tuple[int, int, int]


class Contents:
    """Digests of files by path, known from when they were first asked for."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Stamp, str]] = {}

    def __getitem__(self, path: Path) -> str:
        """SHA-256 of a file's bytes.

        Raises:
            AudioError: it cannot be read.
        """
        if path not in self._known:
            try:
                # The stamp first: a change while the bytes are read is a change.
                self._known[path] = _stamp(path), content_of(path)
            except FileNotFoundError:
                raise AudioError(path, "does not exist") from None
            except OSError as error:
                raise AudioError(path, error.strerror or str(error)) from error
        return self._known[path][1]

    def learn(self, paths: Iterable[Path], threads: int) -> None:
        """Read several files at a time."""
        for _ in ahead(self.__getitem__, dict.fromkeys(paths), threads=threads, waiting=threads):
            pass

    def require_unchanged(self) -> None:
        """Raise a ``SonotypeError`` where a file is no longer what its digest was taken of."""
        for path, (stamp, _) in self._known.items():
            if not path.exists() or _stamp(path) != stamp:
                raise SonotypeError(f"{path} changed while it was being read; start again")


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
