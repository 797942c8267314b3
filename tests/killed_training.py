"""Train in another process, which is killed or interrupted at one of its messages.

On Linux the process is forked from a server that has imported PyTorch once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from sonotype.experiments.runner import processes

INTERRUPTED = 130


def train_until(
    beginning: str, data: Path, run: Path, options: dict[str, Any], *,
    sent: int = signal.SIGKILL, delay: float = 0, started: Path | None = None,
) -> int:  # fmt: skip
    """Train; send a signal some seconds after a message that begins so. Returns the exit code.

    The file ``started`` gets the numbers of the processes that the training has started by then.
    """
    arguments = (beginning, str(data), str(run), options, sent, delay, started)
    process = processes().Process(target=_train, args=arguments)
    process.start()
    process.join(60)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"no message began with {beginning!r}")
    return int(process.exitcode)


def _train(
    beginning: str, data: str, run: str, options: dict[str, Any], sent: int, delay: float,
    started: Path | None,
) -> None:  # fmt: skip
    from sonotype.experiments.pipeline import train

    # A shell that starts the tests in the background has them ignore ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_message(line: str) -> None:
        if line.startswith(beginning):
            if started:
                started.write_text(" ".join(map(str, descendants(os.getpid()))), encoding="utf-8")
            if delay:
                threading.Timer(delay, os.kill, (os.getpid(), sent)).start()
            else:
                os.kill(os.getpid(), sent)

    result = train(data, run, on_message=on_message, **options)
    sys.exit(INTERRUPTED if result.interrupted else 0)


def study_of_two_jobs(plan: Path, data: Path, out: Path) -> None:
    """Run a study with two processes."""
    from sonotype.experiments.grid import run_study
    from sonotype.experiments.grid_plan import read_plan

    run_study(read_plan(plan), data, out, jobs=2)


def descendants(pid: int) -> list[int]:
    """Processes that a process started, and theirs; known on Linux only."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    children = [int(child) for child in path.read_text().split()] if path.exists() else []
    return children + [each for child in children for each in descendants(child)]


def expect_ended(pids: list[int], seconds: float = 60) -> None:
    """Processes end within some time; known on Linux only."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if _runs(pid)]:
        assert time.monotonic() < deadline, f"processes are left: {left}"
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    """Whether a process runs; one that has ended has an entry until its parent asks for it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"
