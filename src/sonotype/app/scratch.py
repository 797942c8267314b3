"""The temporary folder of a server, and those of servers that were killed."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

from sonotype.core import scratch
from sonotype.core.scratch import Scratch

PREFIX = "sonotype-app-"


def open_scratch() -> Scratch:
    """Make a temporary folder; folders that killed servers have left are removed in a thread.

    Raises:
        OSError: it cannot be made.
    """
    own = scratch.open_scratch(Path(tempfile.gettempdir()), PREFIX)
    threading.Thread(target=remove_left, name="scratch", daemon=True).start()
    return own


def remove_left() -> None:
    """Remove the temporary folders of this user's servers that no process uses."""
    scratch.remove_left(Path(tempfile.gettempdir()), PREFIX)
