"""Copies of clips that browsers play, of the clips that were played last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sonotype.app.playback import write_playable

MOST_COPIES, MOST_BYTES = 50, 2_000_000_000
"""Limits of the copies; the last one stays, however large it is."""


class PlayableCopies:
    """WAV files of clips in a temporary folder. Every method may be called in any thread.

    Args:
        folder: gives the folder.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._sizes: OrderedDict[Path, int] = OrderedDict()

    def of(self, path: Path, key: str) -> Path:
        """The copy of a sound, written if there is none.

        Args:
            path: the sound.
            key: a text for a file name, which changes with the path and the content.

        Raises:
            AudioError: the sound cannot be read.
            OSError: the copy cannot be written.
        """
        target = self._folder() / f"clip-{key}.wav"
        if not target.exists():
            write_playable(path, target)
        with self._lock:
            self._sizes[target] = target.stat().st_size
            self._sizes.move_to_end(target)
            while len(self._sizes) > 1 and self._is_full():
                gone, _ = self._sizes.popitem(last=False)
                with suppress(OSError):  # in use, on Windows
                    gone.unlink(missing_ok=True)
        return target

    def _is_full(self) -> bool:
        return len(self._sizes) > MOST_COPIES or sum(self._sizes.values()) > MOST_BYTES
