"""Start a process with one baseline, send it commands, stop it."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.baseline import Baseline
from benchmarks.server import serve

TIMEOUT = 180.0
"""Seconds without a reply after which a process is killed."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                    "NUMBA_NUM_THREADS")  # fmt: skip
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


class WorkerError(Exception):
    """A baseline is missing or failed; the text says which and why."""


def set_environment(threads: int) -> None:
    """Of processes that are started from now on: a number of threads, and no downloads."""
    for name in [name for name in os.environ if name.startswith("OMP_")]:
        del os.environ[name]
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)) | OFFLINE)


class Worker:
    """A process of :func:`benchmarks.server.serve`; a context manager that stops it.

    Attributes:
        first: its first reply.
        start_seconds: from its start to that reply.
    """

    def __init__(
        self, baseline: Baseline, folder: Path, threads: int = 1, task: str = "serve"
    ) -> None:
        folder = folder / baseline.name
        folder.mkdir(exist_ok=True)
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        arguments = (other, task, baseline.name, folder, threads)
        start = time.perf_counter()
        self._process = context.Process(target=serve, args=arguments, daemon=True)
        self._process.start()
        other.close()
        try:
            self.first = self._reply()
        except BaseException:
            self.__exit__()
            raise
        self.start_seconds = time.perf_counter() - start

    def send(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Execute a method of :class:`benchmarks.server.Server`; return its reply.

        Raises:
            WorkerError: it failed.
        """
        try:
            self._connection.send((command, arguments))
        except OSError:
            raise WorkerError("failed: the process has ended") from None
        return self._reply()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()  # without further commands the process ends by itself
        self._process.join(10)
        self._process.kill()

    def _reply(self) -> dict[str, Any]:
        if not self._connection.poll(TIMEOUT):
            raise WorkerError(f"failed: no reply in {TIMEOUT:.0f} s")
        try:
            reply: dict[str, Any] = self._connection.recv()
        except EOFError:
            raise WorkerError("failed: the process ended without a reply") from None
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply
