"""Rows computed from sounds, such as feature maps, in files that several runs share.

A shard is a file ``root/KIND-ID.npy``: an array ``[rows, ...]``, read by memory map, and after it
the keys of the rows as JSON. A kind is a digest of everything that the rows depend on except the
sound; a key is a digest of the sound.

A shard never changes. A run writes it in a folder ``root/ID.part`` and moves it when it is
complete, so a killed run leaves no shard that looks complete. The run holds the lock in this
folder; other runs remove a part folder whose lock is free.

No run waits while another computes: one common lock protects short steps only, which are reserving
space and moving shards. If two runs compute the same rows, the first to finish stores them.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock
from numpy.lib import format as npy

from sonotype.core.errors import SonotypeError
from sonotype.core.io import rename_synced, sync
from sonotype.core.json_text import json_value

SHARD, PART, LOCK, RESERVED = ".npy", ".part", "lock", "reserved"
FREE_SHARE = 0.95
"""Share of the free disk space that may be used."""
GIGABYTE = 1e9
WAIT = 0.2
"""Seconds between two attempts to reserve space."""
STALLED = 600.0
"""Seconds without progress of the other runs after which waiting for space is an error."""
LOCK_TIMEOUT = 120.0
"""Seconds of waiting for the common lock after which it is an error."""

Rows = dict[str, np.ndarray]
"""By key, the row in its memory map, which stays readable when its shard is removed."""

Compute = Callable[[Sequence[int]], Iterator[Mapping[str, np.ndarray]]]
"""From indices of keys to batches of their rows by name, in this order, as contiguous arrays."""


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
        self.on_message = on_message

    def __getstate__(self) -> dict[str, Any]:
        """Without the callback: a process that loads data fills nothing."""
        return self.__dict__ | {"on_message": None}

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
        found: dict[str, Rows] | None = None
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            while found is None:
                found = self._find_or_write(kinds, keys, compute)
        except OSError as error:  # also a timeout of the common lock, whose text names its file
            full = error.errno == errno.ENOSPC
            cause = "no space left on the disk" if full else error.strerror or str(error)
            raise SonotypeError(
                f"{self.root}: the feature maps cannot be stored ({cause}); free some space there, "
                "name another folder in SONOTYPE_CACHE, or use --no-cache"
            ) from error
        return {name: [found[name][key] for key in keys] for name in kinds}

    def _find_or_write(
        self, kinds: Mapping[str, str], keys: Sequence[str], compute: Compute
    ) -> dict[str, Rows] | None:
        """The rows by name; ``None`` after a wait for other runs, which may have stored them."""
        found = {name: self._find(kind, set(keys)) for name, kind in kinds.items()}
        missing = {
            name: [key for key in dict.fromkeys(keys) if key not in rows]
            for name, rows in found.items()
        }
        needed = set().union(*missing.values())
        index = {key: number for number, key in enumerate(keys) if key in needed}
        if not index:
            return found
        with self._part_folder() as part, ExitStack() as stack:
            remaining = iter(index)
            streams: dict[str, BinaryIO] = {}
            for rows in compute(list(index.values())):
                if not streams:
                    size = sum(rows[name][0].nbytes * len(some) for name, some in missing.items())
                    kept = sum(row.nbytes for some in found.values() for row in some.values())
                    if self._reserve(part, size, kept):
                        return None
                    for name in (name for name in kinds if missing[name]):
                        path = part / f"{kinds[name]}-{uuid.uuid4().hex}{SHARD}"
                        streams[name] = stack.enter_context(path.open("wb"))
                        shape = (len(missing[name]), *rows[name].shape[1:])
                        header = npy.header_data_from_array_1_0(rows[name]) | {"shape": shape}
                        npy.write_array_header_1_0(streams[name], header)
                batch_keys = list(islice(remaining, len(next(iter(rows.values())))))
                for name, stream in streams.items():
                    new = [n for n, key in enumerate(batch_keys) if key not in found[name]]
                    # Not through a memory map, which ends the process on a full disk.
                    stream.write(rows[name][new].data)
                os.utime(part / RESERVED)
            for name, stream in streams.items():
                stream.write(json.dumps(missing[name]).encode())
                stream.close()
                sync(Path(stream.name))
            with self._common_lock():
                for name, stream in streams.items():
                    stored = self._find(kinds[name], set(missing[name]))
                    if len(stored) < len(missing[name]):
                        shard = self.root / Path(stream.name).name
                        rename_synced(Path(stream.name), shard)
                        stored = read_shard(shard)
                    found[name] |= stored
                (part / RESERVED).unlink()
        return found

    def _find(self, kind: str, keys: set[str]) -> Rows:
        """The stored rows of these keys."""
        found: Rows = {}
        for shard in self.root.glob(f"{kind}-*{SHARD}"):
            with suppress(FileNotFoundError, PermissionError, ValueError, EOFError):
                rows = read_shard(shard)  # unless it is damaged or has just been removed
                if wanted := keys & rows.keys():
                    os.utime(shard)
                    found |= {key: rows[key] for key in wanted}
        return found

    def _common_lock(self) -> FileLock:
        return FileLock(self.root / LOCK, timeout=LOCK_TIMEOUT)

    @contextmanager
    def _part_folder(self) -> Iterator[Path]:
        """A folder to write in; its lock, held meanwhile, shows that the run is alive."""
        with ExitStack() as stack:
            with self._common_lock():  # others hold it when they look for part folders
                folder = TemporaryDirectory(suffix=PART, dir=self.root, ignore_cleanup_errors=True)
                part = Path(stack.enter_context(folder))
                stack.enter_context(FileLock(part / LOCK))
            yield part

    def _reserve(self, part: Path, size: int, kept: int) -> bool:
        """Reserve ``size`` bytes for this run, which uses ``kept`` stored bytes.

        Returns:
            whether it had to wait for other runs.

        Raises:
            SonotypeError: the rows of this run alone are too many, or the other runs make no
                progress.
        """
        if size + kept > self.limit:
            raise SonotypeError(
                f"{self.root}: the feature maps need {(size + kept) / GIGABYTE:.1f} GB, the cache "
                f"may hold {self.limit / GIGABYTE:.1f}; raise --cache-gb, use fewer --n-augmented, "
                "or --no-cache"
            )
        with self._common_lock():
            others = self._writing(size)
            if not others:
                self._make_room(size)
                with (part / RESERVED).open("wb") as stream:  # sparse
                    stream.truncate(size)
                return False
        reserved = sum(stat.st_size for stat in others) / GIGABYTE
        if self.on_message:
            self.on_message(
                f"{self.root}: waiting for other runs, which are writing {reserved:.1f} of the "
                f"{self.limit / GIGABYTE:.1f} GB that the cache may hold; to avoid this, raise "
                "--cache-gb or use --no-cache"
            )
        # The clock of the computer may be set meanwhile: only changes of these times count.
        last, since = _last_write(others), time.monotonic()
        while others:
            if _last_write(others) != last:
                last, since = _last_write(others), time.monotonic()
            if time.monotonic() - since > STALLED:
                raise SonotypeError(
                    f"{self.root}: other runs have reserved {reserved:.1f} GB, and have written "
                    f"nothing for {STALLED / 60:.0f} minutes; end them, raise --cache-gb, or use "
                    "--no-cache"
                )
            time.sleep(WAIT)
            with self._common_lock():
                others = self._writing(size)
        return True

    def _writing(self, size: int) -> list[os.stat_result]:
        """The reservations of other runs if they leave less than ``size`` bytes.

        The time of a reservation is that of the last write. What killed runs left is removed.
        """
        for part in self.root.glob(f"*{PART}"):
            with suppress(OSError), FileLock(part / LOCK, timeout=0):  # if held, or just removed
                shutil.rmtree(part, ignore_errors=True)
        others = list(_stats(self.root.glob(f"*{PART}/{RESERVED}")).values())
        return others if sum(stat.st_size for stat in others) + size > self.limit else []

    def _make_room(self, size: int) -> None:
        """Remove the least recently used shards until ``size`` bytes fit.

        Raises:
            SonotypeError: there is not enough free space on the disk.
        """
        shards = _stats(self.root.glob(f"*{SHARD}"))
        reserved = _stats(self.root.glob(f"*{PART}/{RESERVED}"))
        total = size + sum(stat.st_size for stat in (shards | reserved).values())
        for shard in sorted(shards, key=lambda shard: shards[shard].st_mtime):
            if total <= self.limit and size <= FREE_SHARE * shutil.disk_usage(self.root).free:
                return
            with suppress(OSError):  # on Windows a shard in use cannot be removed
                shard.unlink()
                total -= shards[shard].st_size
        free = shutil.disk_usage(self.root).free
        if size > FREE_SHARE * free:
            raise SonotypeError(
                f"{self.root}: the feature maps need {size / GIGABYTE:.1f} GB, "
                f"{free / GIGABYTE:.1f} GB are free; use fewer --n-augmented, or --no-cache"
            )


def read_shard(shard: Path) -> Rows:
    """The mapped rows of a shard.

    Raises:
        ValueError, EOFError: it is damaged.
    """
    rows = np.load(shard, mmap_mode="r")
    with shard.open("rb") as stream:
        stream.seek(rows.offset + rows.nbytes)
        keys = json_value(stream.read())
    return dict(zip(keys, rows.view(np.ndarray), strict=True))


def _last_write(reservations: Iterable[os.stat_result]) -> int:
    return max(stat.st_mtime_ns for stat in reservations)


def _stats(paths: Iterable[Path]) -> dict[Path, os.stat_result]:
    """Sizes and times of files; another run may remove some meanwhile."""
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):
            found[path] = path.stat()
    return found
