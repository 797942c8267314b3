"""Digests of the bytes and of the samples of sound files, each computed once.

They identify a clip in splits, in the clips that a model has seen, in the keys of cached feature
maps and in the seeds of the augmentation.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from pathlib import Path

from sonotype.core.cpu import available_cpus
from sonotype.core.errors import AudioError, DataIssue, SonotypeError, cause_of
from sonotype.core.io import file_sha256
from sonotype.core.progress import track
from sonotype.core.types import Clip, Content
from sonotype.data.decoded import Blocks, Decoded

PREFIX = 16
"""Hexadecimal digits of each digest in a model file's list of seen clips."""


def read_content(path: Path, decoded: Decoded | None = None, *, partial: bool = False) -> Content:
    """Decode and hash a file.

    Args:
        path: the file.
        decoded: where the samples of a short sound are kept.
        partial: accept a truncated file.

    Raises:
        AudioError: as for :func:`sonotype.audio.decode.verify`.
    """
    from sonotype.audio.decode import verify

    try:
        stamp = _stamp(path)  # first: a change while the bytes are read is a change
    except (OSError, ValueError):
        stamp = None  # verify says what is wrong
    blocks = None if decoded is None else Blocks()
    sound = verify(path, blocks, partial=partial)
    try:
        content = Content(file_sha256(path), sound, stamp)
    except OSError as error:
        raise AudioError(path, error.strerror or str(error)) from error
    if decoded is not None and blocks is not None:
        decoded.keep(path, blocks)
    return content


def contents_of(
    paths: Iterable[Path],
    *,
    decode: bool = True,
    decoded: Decoded | None = None,
    partial: bool = False,
    progress: bool = False,
) -> tuple[dict[Path, Content], list[DataIssue]]:
    """The contents of some files, read in parallel, and the issues of the sounds.

    Args:
        paths: the files; each is read once.
        decode: whether to decode them; without it only the bytes are hashed, without issues.
        decoded: where the samples of short sounds are kept.
        partial: accept truncated files.
        progress: draw a bar.
    """

    def of(path: Path) -> tuple[Path, Content | None, str]:
        try:
            if not decode:
                return path, _hashed(path), ""
            return path, read_content(path, decoded, partial=partial), ""
        except Exception as error:  # an error of this file alone
            return path, _hashed(path), cause_of(error)

    from sonotype.core.prefetch import (
        prefetch,  # threads take time to import, and most commands need none
    )

    unique = list(dict.fromkeys(paths))
    results = prefetch(of, unique, threads=available_cpus())
    contents, issues = {}, []
    for path, content, cause in track(
        results, "decoding" if decode else "reading", len(unique), show=progress
    ):
        if content is not None:
            contents[path] = content
        if cause:
            issues.append(DataIssue(str(path), 0, cause))
    return contents, issues


def _hashed(path: Path) -> Content | None:
    """The digest of a file's bytes alone; ``None`` if it cannot be read."""
    try:
        stamp = _stamp(path)
        return Content(file_sha256(path), "", stamp)
    except (OSError, ValueError):
        return None


def equally_long(paths: Iterable[Path]) -> list[Path]:
    """The files of equal size that are not empty: only these can have equal bytes."""
    sizes: dict[int, list[Path]] = {}
    for path in dict.fromkeys(paths):
        sizes.setdefault(path.stat().st_size, []).append(path)
    return [path for size, some in sizes.items() if size and len(some) > 1 for path in some]


def united(keys: Sequence[Iterable[Hashable]]) -> list[int]:
    """For each item the first of all items that are connected to it by shared keys (union-find)."""
    parent = list(range(len(keys)))
    first: dict[Hashable, int] = {}

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for item, own in enumerate(keys):
        for key in own:
            low, high = sorted((root(item), root(first.setdefault(key, item))))
            parent[high] = low
    return [root(item) for item in range(len(keys))]


def prefixes(content: Content) -> set[str]:
    """The digests of a content as a model file keeps them."""
    return {digest[:PREFIX] for digest in content.digests}


def clips_seen(seen: Collection[str], contents: Iterable[Content]) -> int:
    """How many contents a model has seen; ``seen`` has prefixes of digests."""
    return sum(not prefixes(content).isdisjoint(seen) for content in contents)


class Contents:
    """Contents of files by path, each computed at its first use.

    Args:
        clips: clips whose known contents are used.
    """

    def __init__(self, clips: Iterable[Clip] = ()) -> None:
        self._given = {
            clip.path: clip.content
            for clip in clips
            if clip.content is not None and clip.content.sound
        }
        self._known: dict[Path, Content] = {}

    def __getitem__(self, path: Path) -> Content:
        """Both digests of a file.

        Raises:
            AudioError: it cannot be read.
        """
        if path not in self._known:
            self._known[path] = self._given.get(path) or read_content(path, partial=True)
        return self._known[path]

    def learn(self, paths: Iterable[Path], threads: int) -> None:
        """Read files in parallel."""
        from sonotype.core.prefetch import prefetch

        for _ in prefetch(
            self.__getitem__, dict.fromkeys(paths), threads=threads, buffer_size=threads
        ):
            pass

    def require_unchanged(self) -> None:
        """Raise a ``SonotypeError`` if a file has changed since it was read."""
        for path, content in self._known.items():
            if content.stamp is not None and (not path.exists() or _stamp(path) != content.stamp):
                raise SonotypeError(f"{path} changed while it was being read; start again")


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
