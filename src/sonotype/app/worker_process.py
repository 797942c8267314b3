"""Start, feed, read and end a process of :mod:`sonotype.app.worker`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from sonotype.core.json_text import json_text, json_value

END_SECONDS = 5.0
"""Time for a killed process to be gone."""

KILLED = "the process was ended by the system, perhaps because there was not enough memory: close "
KILLED += "other programs, and try again"

Process = subprocess.Popen[bytes]


def start_worker() -> Process:
    """Start a process without a job.

    Raises:
        OSError: the process cannot be started.
    """
    separate: dict[str, Any] = {"start_new_session": True}  # ctrl-C is for the server alone
    if os.name == "nt":
        separate = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
    return subprocess.Popen(
        # -P: a file in the current folder must not take the place of a package.
        [sys.executable, "-P", "-m", "sonotype.app.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **separate,
    )


def give_job(process: Process, job: Mapping[str, Any]) -> None:
    """Send the job.

    Raises:
        OSError: the process has ended.
    """
    if process.stdin is None or process.poll() is not None:
        raise BrokenPipeError
    process.stdin.write(json_text(job).encode() + b"\n")
    process.stdin.flush()


def answers(process: Process) -> Iterator[dict[str, Any]]:
    """Its lines; the last one has the kind ``end``, also if the process dies."""
    with contextlib.suppress(OSError, ValueError):  # the pipe was closed
        for line in process.stdout or ():
            with contextlib.suppress(ValueError):  # a line that was cut when the process died
                found = json_value(line)
                yield found
                if found["kind"] == "end":
                    return
    yield {"kind": "end", "failed": KILLED, "details": False}


def end_worker(process: Process) -> None:
    """End the process and those that it started, at once."""
    with contextlib.suppress(OSError):
        if os.name == "nt":
            process.kill()
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    if process.returncode is None:
        return  # a thread may wait for its next line
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
