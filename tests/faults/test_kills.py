"""Commands that are killed at random moments, a few times each; ``scripts/kills.py`` does more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from script_modules import SCRIPTS

KILLS = {
    "ledger": 2, "download": 2, "app": 1, "detect": 2, "train-linear": 2, "train-gradients": 1,
}  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="forks processes that have imported torch")
def test_commands_are_killed_and_end_with_the_same_results(tmp_path: Path) -> None:
    """One process for all: it takes seconds to import torch."""
    words = [f"{name}={kills}" for name, kills in KILLS.items()]
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "kills.py"), *words, "--seed", "3"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name, kills in KILLS.items():
        assert f"{name}: {kills} kills, 0 losses" in done.stdout
    assert sum(KILLS.values()) >= 10
