"""Play sounds with a program that is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLAYERS = (
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "quiet"),
    ("afplay",),
    ("aplay", "-q"),
)
"""Programs with their arguments, the preferred one first; aplay plays WAV files only."""


def find_player() -> tuple[str, ...]:
    """The command of the first program that is installed; empty without one."""
    return next((player for player in PLAYERS if shutil.which(player[0])), ())


@contextmanager
def playing(player: tuple[str, ...], path: Path) -> Iterator[None]:
    """Play a sound until the block ends; silent without a player, or if it fails."""
    process = None
    if player:
        quiet = subprocess.DEVNULL
        command = [*player, str(path)]
        process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)  # noqa: S603
    try:
        yield
    finally:
        if process is not None:
            process.terminate()
            process.wait()
