"""Tables of the events of all recordings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sonotype.detect.tables import GROWING, TABLE_NAMES, growing_tables


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", GROWING)
def test_a_named_pipe_in_place_of_a_table(tmp_path: Path, name: str) -> None:
    """Opening it would wait for a reader forever."""
    os.mkfifo(tmp_path / TABLE_NAMES[name])
    with pytest.raises(OSError, match=TABLE_NAMES[name]), growing_tables(tmp_path, [name]):
        pass
