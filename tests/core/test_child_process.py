"""Processes that end with the one that started them."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
from killed_training import descendants, expect_ended

from sonotype.core.child_process import exit_with_parent

PARENT = """
import multiprocessing, time
from sonotype.core.child_process import exit_with_parent

def wait():
    exit_with_parent()
    print("ready", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    context.Process(target=wait).start()
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_process_ends_when_its_parent_is_killed(tmp_path: Path, method: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(method=method), encoding="utf-8")
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    found = descendants(parent.pid)
    assert found
    parent.kill()
    parent.wait()
    parent.stdout.close()
    expect_ended(found)


def test_a_process_without_parent_stays() -> None:
    assert multiprocessing.parent_process() is None
    exit_with_parent()
