"""Tables of BirdNET-Analyzer: ``csv``, and ``rtable`` for R.

Its tables for Raven, Kaleidoscope and Audacity are read as those of these programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sonotype.data.annotations.columns import simple
from sonotype.data.annotations.entries import LabelFile
from sonotype.data.annotations.event_table import read_event_table

LABELS = ("common_name", "scientific_name")
"""The columns of labels; the first one that a table has is used."""


def is_birdnet(header: Sequence[str]) -> bool:
    """Whether a header is that of a table of results."""
    names = {simple(name) for name in header}
    return {"start", "end", "confidence"} <= names and not names.isdisjoint(LABELS)


def has_birdnet_results(header: Sequence[str]) -> bool:
    """Whether a table for Raven or Kaleidoscope was written by BirdNET-Analyzer."""
    names = {simple(name) for name in header}
    return {"common_name", "confidence"} <= names and not names.isdisjoint(
        {"species_code", "scientific_name"}
    )


def read_birdnet(path: Path, label_column: str | None = None) -> LabelFile:
    """Read a table of results; the table for R has a row for a recording without results."""
    return replace(read_event_table(path, label_column, LABELS), padded=True)
