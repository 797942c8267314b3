"""From labelled sounds on disk to clips in splits that do not leak."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sonotype.data.manifest import Manifest
    from sonotype.data.readers.esc50 import read_esc50
    from sonotype.data.readers.folder import read_folder
    from sonotype.data.readers.msos import read_msos
    from sonotype.data.readers.source import open_source
    from sonotype.data.readers.table import read_table
    from sonotype.data.source_options import SourceOptions
    from sonotype.data.splits.split import Split, cross_validation, split
    from sonotype.data.validate import check_sounds

__all__ = [
    "Manifest",
    "SourceOptions",
    "Split",
    "check_sounds",
    "cross_validation",
    "open_source",
    "read_esc50",
    "read_folder",
    "read_msos",
    "read_table",
    "split",
]

# Imported on first use: every --help imports sonotype.data.source_options, which is fast alone.
_HOMES = {
    "Manifest": "manifest",
    "SourceOptions": "source_options",
    "Split": "splits.split",
    "check_sounds": "validate",
    "cross_validation": "splits.split",
    "open_source": "readers.source",
    "read_esc50": "readers.esc50",
    "read_folder": "readers.folder",
    "read_msos": "readers.msos",
    "read_table": "readers.table",
    "split": "splits.split",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _HOMES:
        return getattr(import_module(f"sonotype.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'sonotype.data' has no attribute {name!r}")
