"""The folder of everything that can be downloaded or computed again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "SONOTYPE_CACHE"
"""Environment variable that replaces the user's cache folder."""


def cache_root() -> Path:
    """The cache folder; it may not exist yet."""
    given = os.environ.get(CACHE_VARIABLE, "")
    if given:
        return Path(given).expanduser()
    return platformdirs.user_cache_path("sonotype", appauthor=False)
