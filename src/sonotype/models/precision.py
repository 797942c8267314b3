"""Full single precision, whatever the caller allows: for maps that are cached and compared.

A GPU may compute products and convolutions of float32 in TF32, with 10 bits of mantissa. PyTorch
allows it for convolutions by default, which leaves 60 dB of the 90 dB that the decimating filter
has. A processor may use bfloat16 where the caller lowers the precision of matrix products.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

IEEE, INHERITED = "ieee", "none"


class _Users:
    """The threads that compute in full precision; the last one restores the settings.

    An object, since names of the module are constants in the keys of cached maps.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._restore: list[Callable[[], None]] = []

    def enter(self) -> None:
        """Change the settings, if this is the first thread."""
        with self._lock:
            if not self._inside:
                self._restore = _by_operation() if _has_settings_by_operation() else _for_all()
            self._inside += 1

    def leave(self) -> None:
        """Restore the settings, if this is the last thread."""
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for restore in self._restore:
                    restore()
                self._restore = []


_USERS = _Users()


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute float32 in float32: no autocast, no TF32. The caller's settings are restored.

    The settings belong to the process. Where several threads are in here, the first sets them and
    the last restores them. A graph that is being traced has no settings: its runtime has.
    """
    if torch.compiler.is_compiling():
        yield
        return
    with torch.autocast(device.type, enabled=False):
        _USERS.enter()
        try:
            yield
        finally:
            _USERS.leave()


def _has_settings_by_operation() -> bool:
    """Whether this is PyTorch 2.9 or newer, where the older settings warn."""
    return hasattr(torch.backends.cudnn, "conv") and hasattr(torch.backends.mkldnn, "conv")


def _by_operation() -> list[Callable[[], None]]:
    """Set ``fp32_precision`` of each operation; returns functions that restore it."""
    backends: Any = torch.backends
    operations = (
        backends.cuda.matmul,
        backends.cudnn.conv,
        backends.mkldnn.matmul,
        backends.mkldnn.conv,
    )
    return [_set_operation(operation) for operation in operations]


def _set_operation(operation: Any) -> Callable[[], None]:
    before = operation.fp32_precision
    operation.fp32_precision = IEEE

    def restore() -> None:
        # The value may be inherited from the setting for all operations; it stays inherited.
        operation.fp32_precision = INHERITED
        if operation.fp32_precision != before:
            operation.fp32_precision = before

    return restore


def _for_all() -> list[Callable[[], None]]:
    """The same before PyTorch 2.9."""
    cudnn: Any = torch.backends.cudnn
    products, convolutions = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False

    def restore() -> None:
        torch.set_float32_matmul_precision(products)
        cudnn.allow_tf32 = convolutions

    return [restore]
