"""Workers as seen from outside: start one, ask it, end it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from benchmarks.peer import Peer

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 180.0
"""Seconds after which a worker that says nothing is ended."""
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


class PeerError(Exception):
    """A peer that is missing or failed; the text says which and why."""


def environment(threads: int) -> dict[str, str]:
    """For a worker with so many threads, which must not look for anything on the net."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    return {**kept, **dict.fromkeys(THREAD_VARIABLES, str(threads)), **offline}


class Worker:
    """A process with one peer.

    Attributes:
        start_seconds: from its start to its first answer.
    """

    def __init__(self, peer: Peer, folder: Path, threads: int = 1, *, task: str = "serve") -> None:
        place = folder / peer.name
        place.mkdir(exist_ok=True)
        self._log: TextIO = (place / "log.txt").open("w", encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.worker", task, peer.name, str(place)]
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, str(threads)], cwd=ROOT, env=environment(threads), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        try:
            self.first = self._answer()
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.perf_counter() - start

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Have it do one thing.

        Raises:
            PeerError: it failed.
        """
        assert self._process.stdin is not None  # noqa: S101 - Popen was asked for a pipe
        try:
            print(json.dumps({"do": do, **order}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise PeerError("failed: the process has ended") from None
        return self._answer()

    def close(self) -> None:
        """End it; without more commands it does so by itself."""
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        timer = threading.Timer(PATIENCE, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            raise PeerError("failed: the process ended without an answer")
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            raise PeerError(str(answer["missing"]))
        if "failed" in answer:
            raise PeerError(f"failed: {answer['failed']}")
        return answer
