"""Rows computed from sounds, such as feature maps, in files that several runs share.

Each kind of rows has a folder, named by a digest of everything that the rows depend on except the
sound. It holds shards, each a folder with rows and the keys of their sounds:

    root/KIND/SHARD/rows.npy   [rows, ...], read by memory map
    root/KIND/SHARD/keys.json  the key of each row

A shard never changes, and gets its name when it is complete: a killed run leaves no shard that
looks complete. Rows of further sounds go into another shard.

No lock is held while rows are computed. Each writer has a part folder of its own and holds the lock
of this folder; other runs remove a part folder whose lock is free. One common lock protects short
steps: creating a part folder, reserving space, naming shards. Two runs may compute the same rows;
then both are kept until they are removed as the least recently used.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from torch import Tensor

from sonotype.core.errors import SonotypeError
from sonotype.core.io import rename_synced, sync

ROWS, KEYS = "rows.npy", "keys.json"
PART, LOCK, GONE = ".part", ".lock", ".gone"
COMMON, RESERVED = f"room{LOCK}", "promised"
NO_HANDLES = (errno.EMFILE, errno.ENFILE)
FREE_SHARE = 0.95
"""Share of the free disk space that may be used."""
GIGABYTE = 1e9
WAIT = 0.2
"""Seconds between two attempts to reserve space."""
STALLED = 600.0
"""Seconds without progress of the other runs after which waiting for space is an error."""
NOTICE_AFTER, GIVE_UP_AFTER = 5.0, 120.0
"""Seconds of waiting for the common lock before a message, and from then before an error."""

Found = dict[str, dict[str, np.ndarray]]
"""By kind and key, the row in its memory map."""

Compute = Callable[[Sequence[int]], Iterator[Mapping[str, Tensor]]]
"""From indices of keys to batches of their rows by name, in this order."""


class FeatureStore:
    """Rows by kind and key.

    Args:
        root: the folder; several runs may use it at the same time.
        limit: largest number of bytes; the least recently used shards are removed first.
        on_message: gets a line when this run has to wait for another.
    """

    def __init__(
        self, root: Path, limit: float, on_message: Callable[[str], None] | None = None
    ) -> None:
        self.root = root
        self.limit = limit
        self._on_message = on_message
        self._used: set[Path] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Without the callback: a process that loads data fills nothing."""
        return self.__dict__ | {"_on_message": None}

    def on_message(self, line: str) -> None:
        """Pass a line to the callback, if there is one."""
        if self._on_message is not None:
            self._on_message(line)

    def fill(
        self, kinds: Mapping[str, str], keys: Sequence[str], compute: Compute
    ) -> dict[str, list[np.ndarray]]:
        """The rows of some keys; missing rows are computed.

        Args:
            kinds: by name a digest of everything that the rows depend on except their keys.
            keys: of the sounds.
            compute: computes the rows of the keys at some indices.

        Raises:
            SonotypeError: they do not fit, cannot be written, or another run blocks the folder.
        """
        unique = list(dict.fromkeys(keys))
        new: Found | None = None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            while new is None:
                found = self._look_up(kinds, unique)
                missing = {
                    name: [key for key in unique if key not in found[name]] for name in kinds
                }
                complete = not any(missing.values())
                new = {} if complete else self._write(kinds, missing, keys, compute, found)
            # A mapped row stays readable when its shard is removed.
            found = {name: found[name] | new.get(name, {}) for name in kinds}
        except Timeout as error:  # a subclass of OSError
            raise SonotypeError(
                f"{error.lock_file}: another process has held this lock for "
                f"{NOTICE_AFTER + GIVE_UP_AFTER:.0f} s; end that process, name another folder in "
                "SONOTYPE_CACHE, or use --no-cache"
            ) from None
        except OSError as error:
            full = error.errno == errno.ENOSPC
            cause = "no space left on the disk" if full else error.strerror or str(error)
            raise SonotypeError(
                f"{self.root}: the feature maps cannot be stored ({cause}); free some space there, "
                "name another folder in SONOTYPE_CACHE, or use --no-cache"
            ) from error
        return {name: [found[name][key] for key in keys] for name in kinds}

    def _look_up(self, kinds: Mapping[str, str], keys: Sequence[str]) -> Found:
        """Existing rows of these keys, mapped: they stay readable when a shard is removed."""
        wanted = set(keys)
        found: Found = {}
        for name, kind in kinds.items():
            found[name] = {}
            for shard in _shards(self.root / kind):
                stored = _keys_of(shard)
                if wanted.isdisjoint(stored):
                    continue
                try:
                    rows = _mapped(shard)
                    os.utime(shard / KEYS)
                except (OSError, ValueError) as error:  # just removed, or damaged
                    if isinstance(error, OSError) and error.errno in NO_HANDLES:
                        raise
                    continue
                if len(rows) == len(stored):
                    self._used.add(shard)
                    found[name] |= {
                        key: row for key, row in zip(stored, rows, strict=True) if key in wanted
                    }
        return found

    def _write(
        self,
        kinds: Mapping[str, str],
        missing: Mapping[str, Sequence[str]],
        keys: Sequence[str],
        compute: Compute,
        found: Found,
    ) -> Found | None:
        """Write a new shard for each kind with missing rows, and return these rows.

        Returns ``None`` and writes nothing if this run had to wait for space and another run has
        stored rows of these kinds meanwhile.
        """
        index = {key: number for number, key in enumerate(keys)}
        needed = {key for names in missing.values() for key in names}
        order = [key for key in dict.fromkeys(keys) if key in needed]
        writers: dict[str, _Writer] = {}
        with self._part_folder() as part, contextlib.ExitStack() as stack:
            first = 0
            for batch in compute([index[key] for key in order]):
                rows = {name: x.detach().cpu().contiguous().numpy() for name, x in batch.items()}
                if not writers:
                    if not self._make_room(kinds, rows, missing, found, part):
                        return None
                    writers = {
                        name: _Writer(part / name, len(missing[name]), rows[name])
                        for name in kinds
                        if missing[name]
                    }
                    for writer in writers.values():
                        stack.callback(writer.close)
                batch_keys = order[first : first + len(next(iter(rows.values())))]
                first += len(batch_keys)
                for name, writer in writers.items():
                    new = [n for n, key in enumerate(batch_keys) if key not in found[name]]
                    writer.write(rows[name][new], [batch_keys[n] for n in new])
            for writer in writers.values():
                writer.finish()
            return self._publish(kinds, writers)

    def _publish(self, kinds: Mapping[str, str], writers: Mapping[str, _Writer]) -> Found:
        """Give the finished shards their names, and map their rows."""
        new: Found = {}
        with self._common_lock():  # so that no run removes a shard before it is mapped
            for name, writer in writers.items():
                home = self.root / kinds[name]
                home.mkdir(exist_ok=True)
                shard = home / uuid.uuid4().hex
                rename_synced(writer.folder, shard)
                self._used.add(shard)
                new[name] = dict(zip(writer.keys, _mapped(shard), strict=True))
        return new

    @contextmanager
    def _common_lock(self) -> Iterator[None]:
        """Hold the lock of all runs, for short steps only.

        Raises:
            Timeout: another process does not release it.
        """
        lock = FileLock(self.root / COMMON)
        try:
            lock.acquire(timeout=NOTICE_AFTER)
        except Timeout:
            self.on_message(f"{lock.lock_file}: another process holds this lock; waiting for it")
            lock.acquire(timeout=GIVE_UP_AFTER)
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _part_folder(self) -> Iterator[Path]:
        """A folder to write in; its lock, held meanwhile, shows that the run is alive."""
        part = self.root / f"{uuid.uuid4().hex}{PART}"
        lock = FileLock(part.with_suffix(LOCK))
        try:
            with self._common_lock():  # others hold it when they take locks of stale parts
                lock.acquire()
                part.mkdir()
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)
            lock.release()
            _unlink(part.with_suffix(LOCK))

    def _make_room(
        self,
        kinds: Mapping[str, str],
        rows: Mapping[str, np.ndarray],
        missing: Mapping[str, Sequence[str]],
        found: Found,
        part: Path,
    ) -> bool:
        """Reserve space for the new rows; the least recently used shards are removed.

        The reservation is a file in the part folder; for other runs it counts as used space.

        Returns:
            ``False`` if this run had to wait for another, which has stored rows of these kinds.

        Raises:
            SonotypeError: the rows of this run alone are too many, or the other runs make no
                progress.
        """
        size = sum(rows[name][0].nbytes * len(some) for name, some in missing.items())
        used = sum(row.nbytes for some in found.values() for row in some.values())
        if size + used > self.limit:
            raise SonotypeError(
                f"{self.root}: the feature maps need {(size + used) / GIGABYTE:.1f} GB, the cache "
                f"may hold {self.limit / GIGABYTE:.1f}; raise --cache-gb, use fewer --n-augmented, "
                "or --no-cache"
            )
        if not self._reserve(kinds, size, part):
            return False
        free = shutil.disk_usage(self.root).free
        if size > FREE_SHARE * free:
            raise SonotypeError(
                f"{self.root}: the feature maps need {size / GIGABYTE:.1f} GB, "
                f"{free / GIGABYTE:.1f} GB are free; use fewer --n-augmented, or --no-cache"
            )
        return True

    def _reserve(self, kinds: Mapping[str, str], size: int, part: Path) -> bool:
        """Reserve space, and wait for other runs if needed; see :meth:`_make_room`."""

        def stored() -> set[Path]:
            return {shard for kind in kinds.values() for shard in _shards(self.root / kind)}

        before = stored()
        written, since = -1, 0.0
        while not self._try_to_reserve(size, part):
            reserved, now = _reserved(self.root) / GIGABYTE, time.monotonic()
            if written < 0:
                self.on_message(
                    f"{self.root}: waiting for other runs, which are writing {reserved:.1f} of the "
                    f"{self.limit / GIGABYTE:.1f} GB that the cache may hold; to avoid this, raise "
                    "--cache-gb or use --no-cache"
                )
            if (progress := _written(self.root)) != written:
                written, since = progress, now
            elif now - since > STALLED:
                raise SonotypeError(
                    f"{self.root}: other runs have reserved {reserved:.1f} GB, and have written "
                    f"nothing for {STALLED / 60:.0f} minutes; end them, raise --cache-gb, or use "
                    "--no-cache"
                )
            time.sleep(WAIT)
            if stored() - before:
                return False
        return True

    def _try_to_reserve(self, size: int, part: Path) -> bool:
        """Remove shards and note the reservation, unless other runs have reserved the space."""
        with self._common_lock():
            self._remove_stale(part)
            reserved = _reserved(self.root)
            if reserved and reserved + size > self.limit:
                return False
            sizes = {shard: _size(shard) for shard in _oldest_first(self.root)}
            total = sum(sizes.values()) + reserved
            # Shards that this run uses are removed last; mapped rows stay readable.
            for shard in sorted(sizes, key=self._used.__contains__):
                free = shutil.disk_usage(self.root).free
                if total + size <= self.limit and size <= FREE_SHARE * free:
                    break
                if remove(shard):
                    total -= sizes[shard]
            (part / RESERVED).write_text(str(size), encoding="utf-8")
        return True

    def _remove_stale(self, own: Path) -> None:
        """Remove what killed runs left: parts whose lock is free, and partly removed shards."""
        for gone in self.root.glob(f"*/*{GONE}"):
            shutil.rmtree(gone, ignore_errors=True)
        names = {path.stem for suffix in (PART, LOCK) for path in self.root.glob(f"*{suffix}")}
        for name in names - {own.stem, Path(COMMON).stem}:
            lock = self.root / f"{name}{LOCK}"
            try:
                with FileLock(lock, timeout=0):
                    shutil.rmtree(self.root / f"{name}{PART}", ignore_errors=True)
            except Timeout:
                continue
            _unlink(lock)


def remove(shard: Path) -> bool:
    """Remove a shard, and return whether that was possible.

    It loses its name first, so that no run finds half of it. Mapped rows stay readable, except on
    Windows, where a shard that is in use cannot be removed.
    """
    gone = shard.with_name(f"{shard.name}{GONE}")
    try:
        shard.replace(gone)
    except OSError:
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True


@dataclass
class _Writer:
    """A shard that is being written, by plain writes: on a full disk a memory map would crash."""

    folder: Path
    total: int
    like: np.ndarray
    keys: list[str] = field(default_factory=list)
    stream: BinaryIO = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.stream = (self.folder / ROWS).open("wb")
        header = {
            "descr": np.lib.format.dtype_to_descr(self.like.dtype),
            "fortran_order": False,
            "shape": (self.total, *self.like.shape[1:]),
        }
        np.lib.format.write_array_header_1_0(self.stream, header)

    def write(self, rows: np.ndarray, keys: Sequence[str]) -> None:
        self.stream.write(rows.data if rows.size else b"")
        self.keys += keys

    def finish(self) -> None:
        """Write the keys, and everything to the disk."""
        self.stream.close()
        (self.folder / KEYS).write_text(json.dumps(self.keys), encoding="utf-8")
        sync(self.folder)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a full disk, which has been reported
            self.stream.close()


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):  # on Windows another process may have it open
        path.unlink()


def _shards(home: Path) -> list[Path]:
    """The shards in the folder of a kind."""
    try:
        return [path for path in home.iterdir() if not path.name.endswith(GONE)]
    except OSError:
        return []


def _mapped(shard: Path) -> np.ndarray:
    rows: np.ndarray = np.load(shard / ROWS, mmap_mode="r").view(np.ndarray)
    return rows


def _keys_of(shard: Path) -> list[str]:
    """Empty if the shard is damaged or has just been removed."""
    try:
        keys = json.loads((shard / KEYS).read_text(encoding="utf-8"))
    except OSError as error:
        if error.errno in NO_HANDLES:
            raise
        return []
    except ValueError:
        return []
    return keys if isinstance(keys, list) and all(isinstance(key, str) for key in keys) else []


def _reserved(root: Path) -> int:
    """Bytes that runs have reserved."""
    total = 0
    for note in root.glob(f"*{PART}/{RESERVED}"):
        with contextlib.suppress(OSError, ValueError):  # the run has just finished
            total += int(note.read_text(encoding="utf-8"))
    return total


def _written(root: Path) -> int:
    """Bytes of rows in part folders."""
    total = 0
    for rows in root.glob(f"*{PART}/*/{ROWS}"):
        with contextlib.suppress(OSError):  # the run has just finished
            total += rows.stat().st_size
    return total


def _oldest_first(root: Path) -> list[Path]:
    """All shards, the least recently used first."""
    used: list[tuple[float, Path]] = []
    for keys in root.glob(f"*/*/{KEYS}"):
        if keys.parent.parent.suffix == PART or keys.parent.name.endswith(GONE):
            continue
        with contextlib.suppress(OSError):  # just removed
            used.append((keys.stat().st_mtime, keys.parent))
    return [shard for _, shard in sorted(used)]


def _size(shard: Path) -> int:
    try:
        return sum(file.stat().st_size for file in shard.iterdir())
    except OSError:
        return 0
