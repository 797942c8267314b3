"""The model that comes with this package, trained by it from random weights."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from sonotype.core.errors import WeightsError

FILE = "builtin.safetensors"


def builtin_path() -> Path:
    """Where its file lies.

    Raises:
        WeightsError: this copy of the package was made without it.
    """
    path = Path(str(files("sonotype") / "assets" / FILE))
    if not path.is_file():
        raise WeightsError(
            f"{path} is missing: this copy of sonotype was made without its built-in model; "
            "install it again"
        )
    return path
