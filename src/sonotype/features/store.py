"""What is computed of sounds and does not change, kept in files that all runs share.

A folder for each kind of rows, named by a digest of all that computes them; in it shards, each a
folder with rows and the keys of the sounds that they belong to:

    root/KIND/SHARD/rows.npy   [rows, ...], read by memory map
    root/KIND/SHARD/keys.json  the key of each row

A shard never changes. It gets its name when it is complete, so that a kill leaves no shard that
looks complete, and what is computed later, of other sounds, is another shard.

No lock is held while rows are computed. Each writer has a part folder of its own, and holds the
lock of that folder alone; others remove a part whose lock is free. The one common lock guards short
steps: to begin a part, to reserve room, to give shards their names. Two runs may compute the same
rows; rows that another run has published meanwhile are dropped.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
ROOM, PROMISED = f"room{LOCK}", "promised"
NO_HANDLES = (errno.EMFILE, errno.ENFILE)
FREE_SHARE = 0.95
"""Of what is free on the disk, what may be used."""
GIGABYTE = 1e9
WAIT = 0.2
"""Seconds between looks whether another run has written what it was promised room for."""
STALLED = 600.0
"""Seconds without a write of any other run after which a wait for their room is an error."""
SAID, GIVEN_UP = 5.0, 120.0
"""Seconds of waiting for the common lock until that is said, and from then until it is an error."""

Found = dict[str, dict[str, np.ndarray]]
"""By kind and key, the row in its memory map."""

Compute = Callable[[Sequence[int]], Iterator[Mapping[str, Tensor]]]
"""From places of keys to batches of their rows by name, in this order."""


class FeatureStore:
    """Rows by kind and key.

    Args:
        root: the folder; several runs may use it at a time.
        limit: bytes that it may hold; what was used the longest time ago goes first.
        on_message: gets a line where this run has to wait for another one.
    """

    def __init__(
        self, root: Path, limit: float, on_message: Callable[[str], None] | None = None
    ) -> None:
        self.root = root
        self.limit = limit
        self._say = on_message
        self._held: set[Path] = set()

    def __getstate__(self) -> dict[str, Any]:
        """All but where lines go to: a process that loads sounds fills nothing."""
        return self.__dict__ | {"_say": None}

    def on_message(self, line: str) -> None:
        """Tell that this run waits."""
        if self._say is not None:
            self._say(line)

    def fill(
        self, kinds: Mapping[str, str], keys: Sequence[str], compute: Compute
    ) -> dict[str, list[np.ndarray]]:
        """The rows of some keys; what is not there yet is computed.

        Args:
            kinds: by name a digest of all that the rows follow from, beside their keys.
            keys: of the sounds.
            compute: gives the rows of the keys at some places.

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
                lacking = any(missing.values())
                new = self._write(kinds, missing, keys, compute, found) if lacking else {}
            # What is mapped stays readable, whoever removed it meanwhile.
            found = {name: found[name] | new.get(name, {}) for name in kinds}
        except Timeout as error:  # before OSError, of which it is one
            raise SonotypeError(
                f"{error.lock_file}: another process has held this lock for "
                f"{SAID + GIVEN_UP:.0f} s; end that process, name another folder in "
                "SONOTYPE_CACHE, or use --no-cache"
            ) from None
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
    ) -> Found | None:
        """One new shard for each kind that lacks something; its rows.

        Nothing is written, and ``None`` comes back, where another run, for which this one had to
        wait, has published rows of these kinds meanwhile.
        """
        place = {key: index for index, key in enumerate(keys)}
        lacking = {key for names in missing.values() for key in names}
        order = [key for key in dict.fromkeys(keys) if key in lacking]
        writers: dict[str, _Writer] = {}
        with self._part() as part, contextlib.ExitStack() as stack:
            first = 0
            for batch in compute([place[key] for key in order]):
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
                some = order[first : first + len(next(iter(rows.values())))]
                first += len(some)
                for name, writer in writers.items():
                    new = [n for n, key in enumerate(some) if key not in found[name]]
                    writer.write(rows[name][new], [some[n] for n in new])
            return self._published(kinds, writers)

    def _published(self, kinds: Mapping[str, str], writers: Mapping[str, _Writer]) -> Found:
        """The rows that were written, or those that others have published meanwhile."""
        new: Found = {}
        for name, writer in writers.items():
            new[name] = self._look_up({name: kinds[name]}, writer.keys)[name]
            writer.finish(without=new[name])
        with self._room():  # so that nobody removes a shard before it is mapped
            for name, writer in writers.items():
                if writer.keys:
                    shard = writer.write_report(self.root / kinds[name])
                    self._held.add(shard)
                    new[name] |= dict(zip(writer.keys, _mapped(shard), strict=True))
        return new

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Hold the lock that all runs have in common; for short steps only.

        Raises:
            Timeout: another process does not let it go.
        """
        lock = FileLock(self.root / ROOM)
        try:
            lock.acquire(timeout=SAID)
        except Timeout:
            self.on_message(f"{lock.lock_file}: another process holds this lock; waiting for it")
            lock.acquire(timeout=GIVEN_UP)
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _part(self) -> Iterator[Path]:
        """A folder to write in; its lock, held meanwhile, tells others that the run is alive."""
        part = self.root / f"{uuid.uuid4().hex}{PART}"
        lock = FileLock(part.with_suffix(LOCK))
        try:
            with self._room():  # under which others take locks of parts to remove them
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
        """Remove what others have not used for the longest time, until the new rows fit.

        What is about to be written is noted in the part, and counts for others as if it were there.

        Returns:
            Whether there is room; not where this run had to wait for another one, which has
            published rows of these kinds.

        Raises:
            SonotypeError: the rows of this run alone are too many, or the others have stopped.
        """
        wanted = sum(rows[name][0].nbytes * len(some) for name, some in missing.items())
        ours = sum(row.nbytes for some in found.values() for row in some.values())
        if wanted + ours > self.limit:
            raise SonotypeError(
                f"{self.root}: the frozen maps need {(wanted + ours) / GIGABYTE:.1f} GB, the cache "
                f"may hold {self.limit / GIGABYTE:.1f}; raise --cache-gb, use fewer --n-augmented, or "
                "--no-cache"
            )
        if not self._waited_for_room(kinds, wanted, part):
            return False
        free = shutil.disk_usage(self.root).free
        if wanted > FREE_SHARE * free:
            raise SonotypeError(
                f"{self.root}: the frozen maps need {wanted / GIGABYTE:.1f} GB, "
                f"{free / GIGABYTE:.1f} GB are free; use fewer --n-augmented, or --no-cache"
            )
        return True

    def _waited_for_room(self, kinds: Mapping[str, str], wanted: int, part: Path) -> bool:
        """Reserve room as soon as others let it; not where they have published these kinds."""
        before = {shard for kind in kinds.values() for shard in _shards(self.root / kind)}
        written, since = -1, 0.0
        while not self._reserved(wanted, part):
            promised, now = _promised(self.root) / GIGABYTE, time.monotonic()
            if written < 0:
                self.on_message(
                    f"{self.root}: waiting for other runs, which are writing {promised:.1f} of the "
                    f"{self.limit / GIGABYTE:.1f} GB that the cache may hold; a larger --cache-gb, "
                    "or --no-cache, needs no wait"
                )
            if (size := _written(self.root)) != written:
                written, since = size, now
            elif now - since > STALLED:
                raise SonotypeError(
                    f"{self.root}: other runs are to write {promised:.1f} GB, and have written "
                    f"nothing for {STALLED / 60:.0f} minutes; end them, raise --cache-gb, or use "
                    "--no-cache"
                )
            time.sleep(WAIT)
            there = {shard for kind in kinds.values() for shard in _shards(self.root / kind)}
            if there - before:
                return False
        return True

    def _reserved(self, wanted: int, part: Path) -> bool:
        """Make room and note it; not while the room is promised to others, who will be done."""
        with self._room():
            self._remove_stale(part)
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

    def _remove_stale(self, own: Path) -> None:
        """Remove what killed runs left: parts whose lock nobody holds, shards half removed."""
        for gone in self.root.glob(f"*/*{GONE}"):
            shutil.rmtree(gone, ignore_errors=True)
        names = {one.stem for kind in (PART, LOCK) for one in self.root.glob(f"*{kind}")}
        for name in names - {own.stem, Path(ROOM).stem}:
            lock = self.root / f"{name}{LOCK}"
            try:
                with FileLock(lock, timeout=0):
                    shutil.rmtree(self.root / f"{name}{PART}", ignore_errors=True)
            except Timeout:
                continue
            _unlink(lock)


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
        self.stream = (self.folder / ROWS).open("w+b")
        self._write_header(self.total)

    def _write_header(self, total: int) -> None:
        """Its length does not depend on the number of rows."""
        header = {
            "descr": np.lib.format.dtype_to_descr(self.like.dtype),
            "fortran_order": False,
            "shape": (total, *self.like.shape[1:]),
        }
        np.lib.format.write_array_header_1_0(self.stream, header)

    def write(self, rows: np.ndarray, keys: Sequence[str]) -> None:
        self.stream.write(rows.data if rows.size else b"")
        self.keys += keys

    def finish(self, without: Iterable[str] = ()) -> None:
        """Drop the rows of some keys, and write the others to the disk."""
        dropped = set(without)
        kept = [n for n, key in enumerate(self.keys) if key not in dropped]
        if len(kept) < len(self.keys):
            self._keep(kept)
        self.stream.close()
        (self.folder / KEYS).write_text(json.dumps(self.keys), encoding="utf-8")
        sync(self.folder)

    def _keep(self, rows: Sequence[int]) -> None:
        """Move some rows to the front of the file, and cut off the rest."""
        size = self.like[0].nbytes
        self.stream.seek(0)
        self._write_header(len(rows))
        start = self.stream.tell()
        for new, old in enumerate(rows):
            self.stream.seek(start + old * size)
            row = self.stream.read(size)
            self.stream.seek(start + new * size)
            self.stream.write(row)
        self.stream.truncate(start + len(rows) * size)
        self.keys = [self.keys[row] for row in rows]

    def write_report(self, home: Path) -> Path:
        """Give the finished shard its name, which is returned."""
        home.mkdir(exist_ok=True)
        shard = home / uuid.uuid4().hex
        rename_synced(self.folder, shard)
        return shard

    def close(self) -> None:
        with contextlib.suppress(OSError):  # of a full disk, which has been told of
            self.stream.close()


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):  # on Windows another process may have it open
        path.unlink()


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


def _written(root: Path) -> int:
    """Bytes of all rows that are not published yet."""
    total = 0
    for rows in root.glob(f"*{PART}/*/{ROWS}"):
        with contextlib.suppress(OSError):  # published just now
            total += rows.stat().st_size
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
