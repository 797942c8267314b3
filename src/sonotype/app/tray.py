"""The sounds that were uploaded to this server; a temporary folder holds them until its end."""

from __future__ import annotations

import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from starlette.concurrency import run_in_threadpool

from sonotype.app.disk import FULL
from sonotype.app.pictures import Overview, highest_frequency, overview_of
from sonotype.app.sound_files import Facts, examine
from sonotype.app.uploads import write_upload
from sonotype.core.detections import DetectedRecording
from sonotype.serve.problems import ProblemError

MOST = 500
"""Sounds in a tray."""
LONG_SECONDS = 10.0
"""A longer sound is more than two clips of the usual 5 s."""
KEPT_DETECTIONS = 8
SUFFIX_LENGTH = 8
OVERVIEW_THREADS = 2


@dataclass(frozen=True)
class Detected:
    """The events that were found in a sound.

    Attributes:
        recording: the events; the path is the name of the sound.
        least: score that an event of any class needed, so that events below are not known.
        given: the threshold that the person chose; ``None`` for those of the model.
    """

    recording: DetectedRecording
    least: float
    given: float | None


@dataclass(eq=False)
class Sound:
    """An uploaded sound.

    Attributes:
        id: in addresses.
        name: of the file, as the person knows it.
        path: of its bytes.
        facts: of its content.
        removed: is set when the person removes it; work on it should end.
        overview: its spectrogram, which a thread computes.
        detections: by model, the latest last.
        lock: for making the file that browsers play.
    """

    id: str
    name: str
    path: Path
    facts: Facts
    removed: threading.Event = field(default_factory=threading.Event)
    overview: Future[Overview] = field(default_factory=Future)
    detections: dict[str, Detected] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        facts = self.facts
        return {
            "id": self.id,
            "name": self.name,
            "seconds": facts.seconds,
            "sample_rate": facts.sample_rate,
            "channels": facts.channels,
            "long": facts.seconds > LONG_SECONDS,
            "note": facts.note,
            "highest": highest_frequency(facts.sample_rate),
        }

    def keep_detection(self, model: str, detected: Detected) -> None:
        """Remember the last events of a model, of a few models."""
        self.detections.pop(model, None)
        self.detections[model] = detected
        while len(self.detections) > KEPT_DETECTIONS:
            self.detections.pop(next(iter(self.detections)))


class Tray:
    """Sounds in a folder, which is made at the first upload. Every method may run in any thread.

    Args:
        folder: that holds nothing else.
        on_close: is called when the sounds are removed.
    """

    def __init__(self, folder: Path, on_close: Callable[[], None] = lambda: None) -> None:
        self._folder, self._on_close = folder, on_close
        self._sounds: dict[str, Sound] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(OVERVIEW_THREADS, thread_name_prefix="overview")

    @property
    def folder(self) -> Path:
        """The folder, which exists now."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def sounds(self) -> list[Sound]:
        """All sounds, the oldest first."""
        with self._lock:
            return list(self._sounds.values())

    async def receive(self, name: str, chunks: AsyncIterator[bytes], declared: int = 0) -> Sound:
        """Write an upload into a file and examine it; nothing of it stays after an error.

        Args:
            name: that the person knows the file by.
            chunks: its bytes.
            declared: number of bytes; 0 if it is not known.

        Raises:
            ProblemError: too large, too many, empty, unreadable, or the disk is full.
            ClientDisconnect: the client went away.
        """
        if len(self.sounds()) >= MOST:
            detail = f"There are {MOST} sounds already. Remove some of them first."
            raise ProblemError("not-possible", detail)
        identity = token_hex(8)
        path = self.folder / f"{identity}{_suffix(name)}"
        try:
            await write_upload(chunks, path, name, declared)
            facts = await run_in_threadpool(examine, path, name)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise not_written(error) from None
        except BaseException:  # the client is gone, too
            path.unlink(missing_ok=True)
            raise
        return self._add(Sound(identity, name, path, facts))

    @contextmanager
    def using(self, identity: str) -> Iterator[Sound]:
        """A sound whose file stays while it is used, even if the person removes it.

        Raises:
            ProblemError: ``gone``.
        """
        with self._lock:
            sound = self._sounds.get(identity)
            if sound is None:
                raise ProblemError("gone", "This sound was removed. Add it again.")
            sound.users += 1
        try:
            yield sound
        finally:
            with self._lock:
                sound.users -= 1
                last = sound.users == 0 and sound.removed.is_set()
            if last:
                self._erase(sound)

    def remove(self, identity: str) -> None:
        """Remove a sound; its files go when nothing uses them.

        Raises:
            ProblemError: ``gone``.
        """
        with self._lock:
            sound = self._sounds.pop(identity, None)
            if sound is None:
                raise ProblemError("gone", "This sound was removed already.")
            sound.removed.set()
            used = sound.users > 0
        if not used:
            self._erase(sound)

    def close(self) -> None:
        """Remove all sounds and the folder."""
        for sound in self.sounds():
            sound.removed.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._sounds.clear()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._on_close()

    def overview(self, sound: Sound) -> Future[Overview]:
        """The spectrogram of a sound, computed again after an error such as a full disk."""
        with self._lock:
            overview = sound.overview
            if overview.done() and (overview.cancelled() or overview.exception() is not None):
                sound.overview = self._threads.submit(self._compute, sound)
            return sound.overview

    def _add(self, sound: Sound) -> Sound:
        with self._lock:
            self._sounds[sound.id] = sound
            sound.overview = self._threads.submit(self._compute, sound)
        return sound

    def _compute(self, sound: Sound) -> Overview:
        with self.using(sound.id):
            target = sound.path.with_name(f"{sound.id}.overview")
            return overview_of(sound.path, target, sound.removed.is_set)

    def _erase(self, sound: Sound) -> None:
        for path in self._folder.glob(f"{sound.id}*"):
            with suppress(OSError):
                path.unlink()


def not_written(error: OSError) -> ProblemError:
    """The problem of a file that cannot be written."""
    if error.errno in FULL:
        detail = "The disk is full. Free some space, then add the sound again."
        return ProblemError("storage-full", detail)
    detail = f"The sound cannot be written ({error.strerror or error}). Check the disk."
    return ProblemError("not-possible", detail)


def _suffix(name: str) -> str:
    """The suffix of a name, if it is a plain one; some decoders look at it."""
    suffix = Path(name).suffix.lower()
    plain = suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) <= SUFFIX_LENGTH
    return suffix if plain else ""
