"""A process for one baseline.

It imports NumPy and the packages of the baseline only, so that its memory and start time are those
of the baseline.
"""

from __future__ import annotations

import faulthandler
import functools
import multiprocessing
import os
import socket
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

import numpy as np

from benchmarks.baseline import SECONDS, Baseline, Clips, Facts, Predictions, Run
from benchmarks.baselines import BASELINES

TIMEOUT = 180.0
"""Seconds of a command after which the process ends itself."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                    "NUMBA_NUM_THREADS")  # fmt: skip
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
CHECKED = 2
"""Clips whose predictions are compared with the reference."""
SLOW = 0.5
"""Seconds; a mode that takes longer is tried twice, not four times."""


def refuse(*_: object, **__: object) -> NoReturn:
    raise OSError("benchmarks use no network")


class WorkerError(Exception):
    """A baseline is missing or failed; the text says which and why."""


def set_environment(threads: int) -> None:
    """Of processes that are started from now on: a number of threads, and no downloads."""
    for name in [name for name in os.environ if name.startswith("OMP_")]:
        del os.environ[name]
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)) | OFFLINE)


class Worker(ProcessPoolExecutor):
    """A process of one baseline, started by the first command."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(1, multiprocessing.get_context("spawn"))
        self._arguments = name, folder / name

    def send(self, command: str, *arguments: Any) -> Any:
        """Execute a method of :class:`Server`; raises :class:`WorkerError` if it fails."""
        try:
            return self.submit(execute, *self._arguments, command, *arguments).result()
        except BrokenProcessPool:
            text = f"failed: the process ended, or took longer than {TIMEOUT:.0f} s"
            raise WorkerError(text) from None


def execute(name: str, folder: Path, command: str, *arguments: Any) -> Any:
    """In the process: execute a method of its server."""
    try:
        served = open_server(name, folder)
        faulthandler.dump_traceback_later(TIMEOUT, exit=True)
        return getattr(served, command)(*arguments)
    except PackageNotFoundError as error:
        raise WorkerError(f"{error.name} is not installed") from None
    except FileNotFoundError as error:
        raise WorkerError(f"no file: {error}") from None
    except Exception as error:  # whatever it is, the other baselines go on
        traceback.print_exc()
        text = f"failed: {type(error).__name__}: {error}".splitlines()[0]
        raise WorkerError(text) from None
    finally:
        faulthandler.cancel_dump_traceback_later()


def end_with_parent() -> None:
    """End this process when the other one is killed; an idle worker of a pool does not notice."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


@functools.cache
def open_server(name: str, folder: Path) -> Server:
    """The server of this process, which writes to a log and uses no network."""
    Thread(target=end_with_parent, daemon=True).start()
    socket.getaddrinfo = os.system = refuse
    socket.socket.connect = refuse  # type: ignore[method-assign]
    folder.mkdir(exist_ok=True)
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    return Server(next(x for x in BASELINES if x.name == name), folder)


class Server:
    """A baseline; each method is a command."""

    def __init__(self, baseline: Baseline, folder: Path) -> None:
        for package in baseline.packages:
            version(package)
        self.baseline, self.folder = baseline, folder
        self.clips: Clips = np.load(folder.parent / f"clips_{baseline.sample_rate}.npy")
        self.runs = self.count = 0
        self.singles: dict[int, Predictions] = {}

    def prepare(self) -> Facts:
        """Write the model file and the reference predictions of the first clips."""
        facts = self.baseline.write(self.folder)
        reference = self.baseline.reference(self.folder)
        predictions = [reference(clip) for clip in self.clips[:CHECKED]]
        np.save(self.folder / "reference.npy", np.stack(predictions))
        return facts

    def load(self, threads: int) -> None:
        """Load the model file and process a first clip."""
        self.loaded = self.baseline.load(self.folder, threads)
        self.run()

    def run(self) -> float:
        """Seconds of the next clip."""
        index = self.runs % len(self.clips)
        self.singles[index], wall, _cpu = timed(self.loaded.single, self.clips[index])
        self.runs += 1
        return wall

    def single(self, limit: float, most: int) -> tuple[list[float], int]:
        """Seconds of runs with one clip each, which take about ``limit`` together; peak memory."""
        runs = max(1, min(most, int(limit / self.run())))
        return [self.run() for _ in range(runs)], peak_memory()

    def choose(self, limit: float) -> None:
        """Try every mode and keep the fastest, and the number of clips it processes in a time."""
        batch = self.baseline.batch
        clips = self.clips[: max(batch, CHECKED)]
        tried = {}
        for name, mode in self.loaded.modes.items():
            tried[name] = timed(mode, clips)[1]
            if len(self.loaded.modes) > 1:  # the first run includes one-time work
                again = 1 if tried[name] > SLOW else 3
                tried[name] = min(timed(mode, clips)[1] for _ in range(again))
        self.mode = min(tried, key=lambda name: tried[name])
        self.count = max(1, round(limit / tried[self.mode] * len(clips) / batch)) * batch

    def many(self, limit: float) -> tuple[str, float, float, int, list[float]]:
        """Batches in the fastest mode, which take about ``limit`` seconds.

        Returns the mode, seconds of audio in a wall and in a processor second, peak memory, and the
        deviations from the reference: one clip at a time, and many.
        """
        if not self.count:
            self.choose(limit)
        clips = self.clips[np.arange(self.count) % len(self.clips)]
        predictions, wall, cpu = timed(self.loaded.modes[self.mode], clips)
        peak, audio = peak_memory(), self.count * SECONDS
        reference = np.load(self.folder / "reference.npy")
        scale = float(np.abs(reference).max()) if self.baseline.group == "classifier" else 1.0
        single = np.stack([self.singles[index] for index in range(CHECKED)])
        deviation = [largest_difference(x, reference) / scale
                     for x in (single, predictions[:CHECKED])]  # fmt: skip
        return self.mode, audio / wall, audio / cpu, peak, deviation


def largest_difference(actual: Predictions, reference: Predictions) -> float:
    """Infinite if the shapes differ."""
    same = actual.shape == reference.shape
    return float(np.abs(actual - reference).max()) if same else float("inf")


def timed(run: Run, clips: Clips) -> tuple[Predictions, float, float]:
    """Predictions, wall seconds and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    predictions = run(clips)
    return predictions, time.perf_counter() - wall, time.process_time() - cpu


def peak_memory() -> int:
    """Largest resident size so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage inherits the peak of the parent process on Linux
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if "VmHWM" in line)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: in bytes
