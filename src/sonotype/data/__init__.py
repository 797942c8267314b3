"""From labelled sounds on disk to clips in splits that do not leak."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sonotype.data.check import check_sounds
    from sonotype.data.esc50 import read_esc50
    from sonotype.data.folder import read_folder
    from sonotype.data.manifest import Manifest
    from sonotype.data.msos import read_msos
    from sonotype.data.source import open_source
    from sonotype.data.source_options import SourceOptions
    from sonotype.data.splits import Split, cross_validation, split
    from sonotype.data.table import read_table

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

# The command line imports the options of a source for every --help, and nothing else of the data.
_HOMES = {
    "Manifest": "manifest",
    "SourceOptions": "source_options",
    "Split": "splits",
    "check_sounds": "check",
    "cross_validation": "splits",
    "open_source": "source",
    "read_esc50": "esc50",
    "read_folder": "folder",
    "read_msos": "msos",
    "read_table": "table",
    "split": "splits",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name in _HOMES:
        return getattr(import_module(f"sonotype.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'sonotype.data' has no attribute {name!r}")
