"""Kill a process at each of its writes in turn."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Steps:
    """Kills the process at one of its writes: syncs, renames, removals, statements of SQL.

    Args:
        statements: class and name of the methods that run statements.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *statements: tuple[type, str]) -> None:
        self.count, self.last = 0, 0
        monkeypatch.setattr(os, "fsync", lambda handle: self.step())
        for owner, name in ((Path, "replace"), (Path, "unlink"), *statements):
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def step(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.step()
            result = function(*arguments, **options)
            self.step()
            return result

        return call
