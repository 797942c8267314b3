"""Import in a thread what the first classification, explanation and stream need.

The imports take seconds. The page does without them at first, so they begin when it is shown.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module

AFTER_SECONDS = 4.0
"""Time from the start of the server; the first page is shown before."""

IMPORTING = threading.RLock()
"""Held while a thread imports packages that take seconds, such as torch and scipy.

Python locks each module alone: of two threads that import two modules of one package, one can find
the package half imported."""

USED = (
    "sonotype.inference.load",
    "sonotype.inference.torch_engine",
    "sonotype.app.live_requests",
    "sonotype.explain.explanation",
    "sonotype.report.media",
    "torch._dynamo",
    "scipy.fft",
)


def start_warm_up(seconds: float = AFTER_SECONDS) -> threading.Timer:
    """Import the modules after some seconds; what needs one before imports it itself."""
    timer = threading.Timer(seconds, warm_up)
    timer.daemon = True
    timer.start()
    return timer


def warm_up() -> None:
    """Import the modules; an error is left to the request that needs them."""
    for name in USED:
        with suppress(Exception), IMPORTING:
            import_module(name)
