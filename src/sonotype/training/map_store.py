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
FREE_SHARE = 0.95
"""Of what is free on the disk, what may be used."""
GIGABYTE = 1e9

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
                    self._write(kinds, missing, keys, compute, found)
                    found = self._look_up(kinds, unique)
        except OSError as error:
            full = error.errno == errno.ENOSPC
            cause = "no space left on the disk" if full else error.strerror or str(error)
            raise SonotypeError(
                f"{self.root}: the frozen maps cannot be written ({cause}); make room there, name "
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
                    rows = np.load(shard / ROWS, mmap_mode="r").view(np.ndarray)
                    os.utime(shard / KEYS)
                except (OSError, ValueError):  # removed just now, or damaged
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
    ) -> None:
        """One new shard for each kind that lacks something."""
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
                    self._make_room(rows, missing, found)
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
            for name, writer in writers.items():
                writer.publish(self.root / kinds[name])
        finally:
            for writer in writers.values():
                writer.close()
            shutil.rmtree(part, ignore_errors=True)

    def _make_room(
        self,
        rows: Mapping[str, np.ndarray],
        missing: Mapping[str, Sequence[str]],
        found: Found,
    ) -> None:
        """Remove what others have not used for the longest time, until the new rows fit.

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
        with FileLock(self.root / f"room{LOCK}"):
            self._remove_stale()
            sizes = {shard: _size(shard) for shard in _oldest_first(self.root)}
            total = sum(sizes.values())
            # Those that this run reads go last; they stay readable where they are mapped.
            for shard in sorted(sizes, key=self._held.__contains__):
                free = shutil.disk_usage(self.root).free
                if total + wanted <= self.limit and wanted <= FREE_SHARE * free:
                    break
                if remove(shard):
                    total -= sizes[shard]
        free = shutil.disk_usage(self.root).free
        if wanted > FREE_SHARE * free:
            raise SonotypeError(
                f"{self.root}: the frozen maps need {wanted / GIGABYTE:.1f} GB, "
                f"{free / GIGABYTE:.1f} GB are free; use fewer --variants, or --no-cache"
            )

    def _remove_stale(self) -> None:
        """Remove what killed runs began: parts whose lock nobody holds."""
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

    def publish(self, home: Path) -> None:
        """Give the shard its name."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        (self.folder / KEYS).write_text(json.dumps(self.keys), encoding="utf-8")
        home.mkdir(exist_ok=True)
        self.folder.replace(home / uuid.uuid4().hex)

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


def _keys_of(shard: Path) -> list[str]:
    try:
        keys: list[str] = json.loads((shard / KEYS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return keys


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
