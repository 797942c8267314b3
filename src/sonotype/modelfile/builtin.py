"""Where the built-in model is; imports no network."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from sonotype.core.errors import WeightsError


def builtin_path() -> Path:
    """Path of the built-in model, which this package trained from random weights.

    Raises:
        WeightsError: this copy of the package lacks it.
    """
    path = Path(str(files("sonotype") / "assets" / "builtin.safetensors"))
    if not path.is_file():
        raise WeightsError(
            f"{path} is missing: this copy of sonotype lacks the built-in model; reinstall sonotype"
        )
    return path
