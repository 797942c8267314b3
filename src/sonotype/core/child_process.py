"""Processes that this package starts."""

from __future__ import annotations

import multiprocessing
import os
import threading


def exit_with_parent() -> None:
    """End this process as soon as the one that started it has ended, killed or not.

    Call it in a process of :mod:`multiprocessing`. A process that waits for work waits for ever
    when its parent is killed: with the start method ``forkserver`` it stays the child of a server,
    which in turn stays as long as it has children.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait_and_exit() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()
