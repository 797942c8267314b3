"""From labelled sounds on disk to clips in splits that do not leak."""

from sonotype.data.check import check_sounds
from sonotype.data.esc50 import read_esc50
from sonotype.data.folder import read_folder
from sonotype.data.manifest import Manifest
from sonotype.data.msos import read_msos
from sonotype.data.source import SourceOptions, open_source
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
