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
    "crossfit": 1, "export": 1,
}  # fmt: skip
SLOW = ("crossfit", "export")
"""In a process each, so that they run beside the others; the others share one, for its start takes
seconds."""
GROUPS = (tuple(name for name in KILLS if name not in SLOW), *((name,) for name in SLOW))


@pytest.mark.skipif(sys.platform != "linux", reason="forks processes that have imported torch")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_commands_are_killed_and_end_with_the_same_results(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    if "export" in names:
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    words = [f"{name}={KILLS[name]}" for name in names]
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "kills.py"), *words, "--seed", "3"],
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in names:
        assert f"{name}: {KILLS[name]} kills, 0 losses" in done.stdout
