"""A project belongs to one server at a time, from its first change on."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from sonotype.core.io import refuse_links
from sonotype.serve.problems import ProblemError

LOCK = "app.lock"
RUNS = "runs"
"""In the hidden folder: the run folders."""
IN_USE = "Another sonotype app uses this project. Use its page, or end it and try again."


class Owner:
    """Holds the lock of a project; it ends with the process, however that ends.

    Args:
        hidden: the hidden folder of the project, which is made with the first lock.
    """

    def __init__(self, hidden: Path) -> None:
        self._hidden = hidden
        self._lock: FileLock | None = None

    def take(self) -> bool:
        """Take the project, if this process does not have it.

        Returns:
            Whether it was taken now.

        Raises:
            ProblemError: ``project-in-use``.
            OptionsError: the hidden folder, or something in it, is a link.
            OSError: the folder cannot be written.
        """
        if self._lock is not None and self._hidden.is_dir():
            return False
        self.release()  # the folder was removed meanwhile
        refuse_links(self._hidden)
        refuse_links(self._hidden / RUNS)
        self._hidden.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._hidden / LOCK, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise ProblemError("project-in-use", IN_USE) from None
        self._lock = lock
        return True

    def release(self) -> None:
        """Let another process take the project."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
