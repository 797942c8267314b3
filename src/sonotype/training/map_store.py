"""What is computed of sounds and does not change, kept in files that all runs share.

A folder for each kind of rows, named by a digest of all that computes them; in it shards, each a
folder with rows and the keys of the sounds that they belong to:

    root/KIND/SHARD/rows.npy   [rows, ...], read by memory map
    root/KIND/SHARD/keys.json  the key of each row

A shard never changes. It gets its name when it is whole, so that a kill leaves nothing that looks
so, and what is computed later, of other sounds, is another shard.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from torch import Tensor

from sonotype.errors import SonotypeError

ROWS, KEYS = "rows.npy", "keys.json"
PART, LOCK, GONE = ".part", ".lock", ".gone"
ROOM, PROMISED = f"room{LOCK}", "promised"
NO_HANDLES = (errno.EMFILE, errno.ENFILE)
FREE_SHARE = 0.95
"""Of what is free on the disk, what may be used."""
GIGABYTE = 1e9
WAIT = 0.2
"""Seconds between looks whether another run has written what it was promised room for."""

Found = dict[str, dict[str, np.ndarray]]
"""By kind and key, the row in its memory map."""

Compute = Callable[[Sequence[int]], Iterator[Mapping[str, Tensor]]]
"""From places of keys to batches of their rows by name, in this order."""


class MapStore:
    """Rows by kind and key.

    Args:
        root: the folder; several runs may use it at a time.
        limit: bytes that it may hold; what was used the longest time ago goes first.
    """

    def __init__(self, root: Path, limit: float) -> None:
        self.root = root
        self.limit = limit
        self._held: set[Path] = set()

    def fill(
        self, kinds: Mapping[str, str], keys: Sequence[str], compute: Compute
    ) -> dict[str, list[np.ndarray]]:
        """The rows of some keys; what is not there yet is computed, by one run at a time.

        Args:
            kinds: by name a digest of all that the rows follow from, beside their keys.
            keys: of the sounds.
            compute: gives the rows of the keys at some places.

        Raises:
            SonotypeError: they do not fit, or cannot be written; says what to do.
        """
        unique = list(dict.fromkeys(keys))
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f"{_together(kinds)}{LOCK}"):
                found = self._look_up(kinds, unique)
                missing = {
                    name: [key for key in unique if key not in found[name]] for name in kinds
                }
                if any(missing.values()):
                    # What is mapped stays readable, whoever removed it meanwhile.
                    new = self._write(kinds, missing, keys, compute, found)
                    found = {name: found[name] | new.get(name, {}) for name in kinds}
        except OSError as error:
            full = error.errno == errno.ENOSPC
            cause = "no space left on the disk" if full else error.strerror or str(error)
            raise SonotypeError(
                f"{self.root}: the frozen maps cannot be kept ({cause}); make room there, name "
                "another folder in SONOTYPE_CACHE, or use --no-cache"
            ) from error
        return {name: [found[name][key] for key in keys] for name in kinds}

    def _look_up(self, kinds: Mapping[str, str], keys: Sequence[str]) -> Found:
        """What is there of these keys, held open: it stays readable whoever removes it."""
        wanted = set(keys)
        found: Found = {}
        for name, kind in kinds.items():
            found[name] = {}
            for shard in _shards(self.root / kind):
                there = _keys_of(shard)
                if wanted.isdisjoint(there):
                    continue
                try:
                    rows = _mapped(shard)
                    os.utime(shard / KEYS)
                except (OSError, ValueError) as error:  # removed just now, or damaged
                    if isinstance(error, OSError) and error.errno in NO_HANDLES:
                        raise
                    continue
                if len(rows) == len(there):
                    self._held.add(shard)
                    found[name] |= {
                        key: row for key, row in zip(there, rows, strict=True) if key in wanted
                    }
        return found

    def _write(
        self,
        kinds: Mapping[str, str],
        missing: Mapping[str, Sequence[str]],
        keys: Sequence[str],
        compute: Compute,
        found: Found,
    ) -> Found:
        """One new shard for each kind that lacks something; its rows."""
        place = {key: index for index, key in enumerate(keys)}
        lacking = {key for names in missing.values() for key in names}
        order = [key for key in dict.fromkeys(keys) if key in lacking]
        part = self.root / f"{_together(kinds)}{PART}"
        shutil.rmtree(part, ignore_errors=True)  # of a run that was killed; the lock is ours
        part.mkdir()
        writers: dict[str, _Writer] = {}
        try:
            first = 0
            for batch in compute([place[key] for key in order]):
                rows = {name: x.detach().cpu().contiguous().numpy() for name, x in batch.items()}
                if not writers:
                    self._make_room(rows, missing, found, part)
                    writers = {
                        name: _Writer(part / name, len(missing[name]), rows[name])
                        for name in kinds
                        if missing[name]
                    }
                some = order[first : first + len(next(iter(rows.values())))]
                first += len(some)
                for name, writer in writers.items():
                    new = [n for n, key in enumerate(some) if key not in found[name]]
                    writer.write(rows[name][new], [some[n] for n in new])
            with FileLock(self.root / ROOM):  # so that nobody removes it before it is mapped
                return {
                    name: self._published(writer, self.root / kinds[name])
                    for name, writer in writers.items()
                }
        finally:
            for writer in writers.values():
                writer.close()
            shutil.rmtree(part, ignore_errors=True)

    def _published(self, writer: _Writer, home: Path) -> dict[str, np.ndarray]:
        shard = writer.publish(home)
        self._held.add(shard)
        return dict(zip(writer.keys, _mapped(shard), strict=True))

    def _make_room(
        self,
        rows: Mapping[str, np.ndarray],
        missing: Mapping[str, Sequence[str]],
        found: Found,
        part: Path,
    ) -> None:
        """Remove what others have not used for the longest time, until the new rows fit.

        What is about to be written is noted in the part, and counts for others as if it were there.

        Raises:
            SonotypeError: the rows of this run alone are too many.
        """
        wanted = sum(rows[name][0].nbytes * len(some) for name, some in missing.items())
        ours = sum(row.nbytes for some in found.values() for row in some.values())
        if wanted + ours > self.limit:
            raise SonotypeError(
                f"{self.root}: the frozen maps need {(wanted + ours) / GIGABYTE:.1f} GB, the cache "
                f"may hold {self.limit / GIGABYTE:.1f}; raise --cache-gb, use fewer --variants, or "
                "--no-cache"
            )
        while not self._reserved(wanted, part):
            time.sleep(WAIT)
        free = shutil.disk_usage(self.root).free
        if wanted > FREE_SHARE * free:
            raise SonotypeError(
                f"{self.root}: the frozen maps need {wanted / GIGABYTE:.1f} GB, "
                f"{free / GIGABYTE:.1f} GB are free; use fewer --variants, or --no-cache"
            )

    def _reserved(self, wanted: int, part: Path) -> bool:
        """Make room and note it; not while the room is promised to others, who will be done."""
        with FileLock(self.root / ROOM):
            self._remove_stale()
            promised = _promised(self.root)
            if promised and promised + wanted > self.limit:
                return False
            sizes = {shard: _size(shard) for shard in _oldest_first(self.root)}
            total = sum(sizes.values()) + promised
            # Those that this run reads go last; they stay readable where they are mapped.
            for shard in sorted(sizes, key=self._held.__contains__):
                free = shutil.disk_usage(self.root).free
                if total + wanted <= self.limit and wanted <= FREE_SHARE * free:
                    break
                if remove(shard):
                    total -= sizes[shard]
            (part / PROMISED).write_text(str(wanted), encoding="utf-8")
        return True

    def _remove_stale(self) -> None:
        """Remove what killed runs left: parts whose lock nobody holds, shards half removed."""
        for gone in self.root.glob(f"*/*{GONE}"):
            shutil.rmtree(gone, ignore_errors=True)
        for part in self.root.glob(f"*{PART}"):
            try:
                with FileLock(part.with_suffix(LOCK), timeout=0):
                    shutil.rmtree(part, ignore_errors=True)
            except Timeout:
                continue


def remove(shard: Path) -> bool:
    """Remove a shard; whether it could be.

    It loses its name first, so that nobody finds half of it. Who has it mapped can go on reading,
    but for Windows, which refuses; it then stays.
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
    """Rows on their way into a shard; plain writes, since a full disk kills who maps to write."""

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

    def publish(self, home: Path) -> Path:
        """Give the shard its name, which is returned."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        (self.folder / KEYS).write_text(json.dumps(self.keys), encoding="utf-8")
        home.mkdir(exist_ok=True)
        shard = home / uuid.uuid4().hex
        self.folder.replace(shard)
        return shard

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a full disk, which has been told of
            self.stream.close()


def _together(kinds: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(kinds.values())).encode()).hexdigest()


def _shards(home: Path) -> list[Path]:
    """The shards in a kind's folder."""
    try:
        return [one for one in home.iterdir() if not one.name.endswith(GONE)]
    except OSError:
        return []


def _mapped(shard: Path) -> np.ndarray:
    rows: np.ndarray = np.load(shard / ROWS, mmap_mode="r").view(np.ndarray)
    return rows


def _keys_of(shard: Path) -> list[str]:
    """Nothing where the shard is damaged, or was removed just now."""
    try:
        keys = json.loads((shard / KEYS).read_text(encoding="utf-8"))
    except OSError as error:
        if error.errno in NO_HANDLES:
            raise
        return []
    except ValueError:
        return []
    return keys if isinstance(keys, list) and all(isinstance(key, str) for key in keys) else []


def _promised(root: Path) -> int:
    """Bytes that runs are about to write."""
    total = 0
    for note in root.glob(f"*{PART}/{PROMISED}"):
        with contextlib.suppress(OSError, ValueError):  # done just now
            total += int(note.read_text(encoding="utf-8"))
    return total


def _oldest_first(root: Path) -> list[Path]:
    """All shards by when they were last used."""
    used: list[tuple[float, Path]] = []
    for keys in root.glob(f"*/*/{KEYS}"):
        if keys.parent.parent.suffix == PART or keys.parent.name.endswith(GONE):
            continue
        try:
            used.append((keys.stat().st_mtime, keys.parent))
        except OSError:
            continue
    return [shard for _, shard in sorted(used)]


def _size(shard: Path) -> int:
    try:
        return sum(one.stat().st_size for one in shard.iterdir())
    except OSError:
        return 0
