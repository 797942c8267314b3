"""Decoded sounds in bounded memory, so that no file is decoded twice in a short time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sonotype.audio.decode import Audio, Samples

KEPT_BYTES = 256_000_000
"""Of whole sounds that a check decoded."""
LONGEST_BYTES = 32_000_000
"""Of one of them: about three minutes at 44.1 kHz."""


class Blocks:
    """The decoded blocks of one file; none of a file that is too long."""

    def __init__(self) -> None:
        self.sample_rate = 0
        self.size = 0
        self.samples: list[Samples] = []

    def __call__(self, sample_rate: int, samples: Samples) -> None:
        """Take the next block."""
        self.sample_rate = sample_rate
        self.size += samples.nbytes
        if self.size > LONGEST_BYTES:
            self.samples.clear()
        else:
            self.samples.append(samples.copy())


class Decoded:
    """Whole sounds by path, mono at the rates of their files, as decoded by a check.

    The first sounds are kept, up to the limit. A pickled copy is empty.

    Args:
        limit: bytes of samples.
    """

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._free = limit
        self._sounds: dict[Path, Audio] = {}
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[Decoded], tuple[int]]:
        return Decoded, (0,)

    def keep(self, path: Path, blocks: Blocks) -> None:
        """Keep the sound in a file, if it is short and memory is left."""
        import numpy as np

        from sonotype.audio.decode import Audio

        with self._lock:
            if not blocks.samples or blocks.size > self._free:
                return
            self._free -= blocks.size
        samples = np.concatenate(blocks.samples)
        seconds = len(samples) / blocks.sample_rate
        self._sounds[path] = Audio(samples, blocks.sample_rate, seconds)

    def put(self, path: Path, sound: Audio) -> None:
        """Keep a sound that is in memory anyway; it does not count towards the limit.

        Args:
            path: stands for the sound; need not be a file.
            sound: mono, as a whole.
        """
        self._sounds[path] = sound

    def get(self, path: Path) -> Audio | None:
        """The sound in a file, if it is kept."""
        return self._sounds.get(path)

    def clear(self) -> None:
        """Forget all sounds, and keep no more."""
        self._free = 0
        self._sounds.clear()


class Recent:
    """A least-recently-used cache of arrays; each is computed once, also by several threads.

    A pickled copy is empty.

    Args:
        limit: bytes of arrays; the last array is kept whatever its size.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, Future[Samples]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[Recent], tuple[int]]:
        return Recent, (self._limit,)

    def get(self, key: Hashable, compute: Callable[[], Samples]) -> Samples:
        """The array of a key, computed if it is not kept; callers must not change it."""
        from concurrent.futures import Future

        with self._lock:
            known = key in self._kept
            future = self._kept.setdefault(key, Future())
            self._kept.move_to_end(key)
        if known:
            return future.result()
        try:
            future.set_result(compute())
        except BaseException as error:
            with self._lock:
                self._kept.pop(key, None)
            future.set_exception(error)
            raise
        with self._lock:
            kept = {old: other.result() for old, other in self._kept.items() if other.done()}
            size = sum(samples.nbytes for samples in kept.values())
            for old in list(kept)[:-1]:
                if size <= self._limit:
                    break
                size -= kept[old].nbytes
                del self._kept[old]
        return future.result()

    def clear(self) -> None:
        """Forget all arrays."""
        with self._lock:
            self._kept.clear()
