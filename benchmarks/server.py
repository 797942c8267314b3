"""A process that runs one baseline.

It imports NumPy and the baseline's own packages alone, so that memory and start-up time are those
of the baseline.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from benchmarks.baseline import Baseline, Clips, NotAvailableError, Predictions, Run
from benchmarks.baselines import find

CHECKED = 2
"""Clips whose predictions are compared with the reference."""
SLOW = 0.5
"""Seconds; a mode that takes longer is tried twice, not four times."""


def serve(
    connection: Connection[Any, Any], task: str, name: str, folder: Path, threads: int
) -> None:
    """Prepare a baseline, or load it and execute commands until the connection is closed.

    The task ``prepare`` writes the model file and the reference predictions. With ``serve`` the
    first reply comes after the first prediction. A reply with ``error`` is the last.
    """
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    refuse_network()
    baseline = find(name)
    try:
        for package in baseline.packages:
            version(package)
        if task == "prepare":
            connection.send(prepare(baseline, folder))
            return
        server = Server(baseline, folder, threads)
        connection.send(server.single(1))
        while True:
            command, arguments = connection.recv()
            connection.send(getattr(server, command)(**arguments))
    except EOFError:
        return
    except PackageNotFoundError as error:
        connection.send({"error": f"{error.name} is not installed"})
    except NotAvailableError as error:
        connection.send({"error": str(error)})
    except Exception as error:  # whatever it is, the other baselines go on
        connection.send({"error": f"failed: {type(error).__name__}: {error}".splitlines()[0]})
        raise


def refuse_network() -> None:
    """Make every use of the network, here or by a started program, an error."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise OSError("benchmarks use no network")

    for owner, name in ((socket.socket, "connect"), (socket, "getaddrinfo"), (os, "system")):
        setattr(owner, name, refuse)


def prepare(baseline: Baseline, folder: Path) -> dict[str, Any]:
    """Write the model file and the reference predictions of the first clips."""
    facts = baseline.write(folder)
    reference = baseline.reference(folder)
    clips = load_clips(baseline, folder)[:CHECKED]
    np.save(folder / "reference.npy", np.stack([reference(clip) for clip in clips]))
    return dataclasses.asdict(facts)


def load_clips(baseline: Baseline, folder: Path) -> Clips:
    """``[clips, samples]`` at the baseline's rate, from the parent folder."""
    return np.asarray(np.load(folder.parent / f"clips_{baseline.sample_rate}.npy"))


class Server:
    """A loaded baseline; each method is a command and returns its reply."""

    def __init__(self, baseline: Baseline, folder: Path, threads: int) -> None:
        self.baseline, self.folder = baseline, folder
        self.clips = load_clips(baseline, folder)
        self.loaded = baseline.load(folder, threads)
        self.mode = ""
        self.runs = 0
        self.singles: dict[int, Predictions] = {}
        self.batch: Predictions = np.empty(0)

    def single(self, runs: int) -> dict[str, Any]:
        """Seconds of runs with one clip each."""
        seconds = []
        for _ in range(runs):
            index = self.runs % len(self.clips)
            start = time.perf_counter()
            predictions = self.loaded.single(self.clips[index])
            seconds.append(time.perf_counter() - start)
            self.runs += 1
            if index < CHECKED:
                self.singles[index] = predictions
        return {"seconds": seconds}

    def choose(self) -> dict[str, Any]:
        """Try every mode and keep the fastest; its name and its seconds for each clip."""
        clips = self._clips(max(self.baseline.batch, CHECKED))
        tried = {}
        for name, mode in self.loaded.modes.items():
            tried[name] = _timed(mode, clips)[1]
            if len(self.loaded.modes) > 1:  # the first run includes one-time work
                again = 1 if tried[name] > SLOW else 3
                tried[name] = min(_timed(mode, clips)[1] for _ in range(again))
        self.mode = min(tried, key=lambda name: tried[name])
        return {"mode": self.mode, "seconds": tried[self.mode] / len(clips)}

    def many(self, count: int) -> dict[str, Any]:
        """Wall and processor seconds of that many clips in the fastest mode."""
        predictions, wall, cpu = _timed(self.loaded.modes[self.mode], self._clips(count))
        self.batch = predictions[:CHECKED]
        return {"wall": wall, "cpu": cpu}

    def memory(self) -> dict[str, Any]:
        """Largest resident size so far, in bytes."""
        status = Path("/proc/self/status")
        if status.exists():  # getrusage inherits the peak of the parent process on Linux
            lines = status.read_text(encoding="utf-8").splitlines()
            return {"bytes": next(int(x.split()[1]) * 1024 for x in lines if "VmHWM" in x)}
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"bytes": peak if sys.platform == "darwin" else peak * 1024}

    def deviation(self) -> dict[str, Any]:
        """Of the latest timed predictions from the reference: one clip at a time, and many."""
        reference = np.load(self.folder / "reference.npy")
        single = np.stack([self.singles[index] for index in range(CHECKED)])
        scale = float(np.abs(reference).max()) if self.baseline.group == "classifier" else 1.0
        return {
            "single": largest_difference(single, reference) / scale,
            "many": largest_difference(self.batch, reference) / scale,
        }

    def _clips(self, count: int) -> Clips:
        return np.asarray(self.clips[np.arange(count) % len(self.clips)])


def largest_difference(actual: Any, reference: Any) -> float:
    """Infinite if the shapes differ."""
    same_shape = actual.shape == reference.shape
    return float(np.abs(actual - reference).max()) if same_shape else float("inf")


def _timed(mode: Run, clips: Clips) -> tuple[Predictions, float, float]:
    """Predictions, wall seconds and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    predictions = mode(clips)
    return predictions, time.perf_counter() - wall, time.process_time() - cpu
