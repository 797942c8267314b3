"""Watch what the process does besides its work: files, processes, connections, unpickling.

Python reports each of these to audit hooks. What a C library opens by itself is not reported; the
folder of canaries beside the folder of an input finds what such a library writes nearby.
"""

# ruff: noqa: PTH118, PTH119, PTH120 - paths as text, which may be bytes

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXECUTED = frozenset({
    "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn",
    "os.spawn", "os.startfile", "pty.spawn", "pickle.find_class", "socket.connect",
    "socket.getaddrinfo", "urllib.Request", "webbrowser.open",
})  # fmt: skip
"""Events that no input may cause."""

_CHANGES = {
    "os.remove": (0,), "os.rename": (0, 1), "os.mkdir": (0,), "os.rmdir": (0,), "os.link": (1,),
    "os.symlink": (1,), "os.truncate": (0,), "os.chmod": (0,), "os.utime": (0,),
    "shutil.rmtree": (0,), "shutil.move": (0, 1), "shutil.copyfile": (1,), "sqlite3.connect": (0,),
}  # fmt: skip
"""Events that change files, and which of their arguments are the paths."""

_FOLDERS = {
    "os.remove": (1,), "os.rmdir": (1,), "os.mkdir": (2,), "os.rename": (2, 3), "os.link": (3,),
    "os.symlink": (2,), "os.chmod": (2,), "os.utime": (3,),
}  # fmt: skip
"""For each of these paths, which argument is the descriptor of the folder it is relative to."""

_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Guard:
    """Collects events while it is active; only one per process can be installed.

    Args:
        allowed: folders where files may be changed.
        readable: folders whose files may be read; ``None`` for all.
    """

    def __init__(self, allowed: Sequence[Path], readable: Sequence[Path] | None = None) -> None:
        self.allowed = [os.path.realpath(folder) for folder in allowed]
        self.readable = None
        if readable is not None:
            own = (sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", *map(str, readable))
            self.readable = [os.path.realpath(folder) for folder in own] + self.allowed
        self.events: list[tuple[str, str]] = []
        self._active = False
        sys.addaudithook(self._hook)

    @contextmanager
    def watching(self) -> Iterator[list[tuple[str, str]]]:
        """The kinds and descriptions of forbidden events, as they happen."""
        self.events = []
        self._active = True
        try:
            yield self.events
        finally:
            self._active = False

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._active:
            return
        if event in EXECUTED:
            self.events.append(("executed", f"{event} {args!r:.300}"))
        elif event == "open":
            path, mode, flags = args
            if isinstance(path, str | bytes | os.PathLike):
                writes = any(char in mode for char in "wax+") if mode else bool(flags & _WRITE)
                self._check(path, event, self.allowed if writes else self.readable)
        elif event in _CHANGES:
            folders = _FOLDERS.get(event, (len(args),) * len(_CHANGES[event]))
            for place, folder in zip(_CHANGES[event], folders, strict=True):
                path = args[place]
                if not isinstance(path, str | bytes | os.PathLike):
                    continue
                if folder < len(args) and isinstance(args[folder], int) and args[folder] >= 0:
                    path = os.path.join(f"/proc/self/fd/{args[folder]}", os.fsdecode(path))
                self._check(path, event, self.allowed)

    def _check(self, path: Any, event: str, folders: Sequence[str] | None) -> None:
        if folders is None or path in (":memory:", "/dev/null", b"/dev/null"):
            return
        self._active = False  # what follows is not an event of the program
        try:
            name = os.fsdecode(path)
            real = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
            if event == "open":
                real = os.path.realpath(name)
            if not any(real == folder or real.startswith(f"{folder}/") for folder in folders):
                self.events.append(("outside", f"{event} {real!r:.300}"))
        except ValueError:
            pass  # a name with NUL, which no call accepts
        finally:
            self._active = True


def own_temporary(folder: Path) -> None:
    """Let the process put its temporary files into this folder."""
    folder.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = str(folder)


class Canaries:
    """Files around the folder of an input, which must not change; nothing may come beside them.

    Args:
        root: contains the folder ``work/case`` of the inputs.
    """

    def __init__(self, root: Path) -> None:
        self._folders = (root, root / "work")
        self._root = root
        for folder in self._folders:
            (folder / "canary").write_bytes(b"canary")
        (root / "work" / "case").mkdir(exist_ok=True)
        self._before = self._state()

    def _state(self) -> list[tuple[str, int, int]]:
        found = []
        for folder in self._folders:
            for entry in os.scandir(folder):
                status = entry.stat(follow_symlinks=False)
                folders = entry.is_dir(follow_symlinks=False)
                size = (0, 0) if folders else (status.st_size, status.st_mtime_ns)
                found.append((entry.path, *size))
        return sorted(found)

    def changed(self) -> str:
        """What changed since the start; empty if nothing did."""
        now = self._state()
        if now == self._before:
            return ""
        difference = sorted(set(now) ^ set(self._before))
        return f"beside the folder of the input: {difference!r:.300}"
