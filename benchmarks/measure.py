"""The measurements and their order: repeats of all baselines are interleaved."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.baseline import Baseline, Facts
from benchmarks.process import Worker, WorkerError, set_environment

PAUSE = 0.02
"""Seconds between two measurements, in which the threads of the first go to sleep."""
ROUNDS = 5
"""Of runs with one clip."""


class Effort(NamedTuple):
    """Duration of the measurement."""

    repeats: int  # with many clips
    many_seconds: float  # of a repeat, which has at least one batch
    runs: int  # with one clip, at most
    single_seconds: float  # of all runs with one clip, of which there are at least ROUNDS
    starts: int  # of processes with one thread


FULL = Effort(7, 0.4, 120, 5.0, 3)
QUICK = Effort(3, 0.1, 20, 0.5, 1)


@dataclass
class Phase:
    """Results of one baseline with one number of threads."""

    worker: Worker
    starts: list[float] = field(default_factory=list)  # seconds to the first prediction
    single: list[float] = field(default_factory=list)  # seconds of each run with one clip
    mode: str = ""  # the fastest for many clips
    wall: list[float] = field(default_factory=list)  # by repeat: seconds of audio in a second
    cpu: list[float] = field(default_factory=list)  # the same in a second of processor time
    memory: tuple[int, int] = (0, 0)  # peak bytes with one clip at a time, and with many
    deviation: Sequence[float] = (0.0, 0.0)  # likewise, from the reference


@dataclass
class Row:
    """A baseline and its results by number of threads; ``error`` says why there are none."""

    baseline: Baseline
    facts: Facts = Facts()
    phases: dict[int, Phase] = field(default_factory=dict)
    error: str = ""

    @property
    def issue(self) -> str:
        """Why the times do not count: missing, failed, or wrong predictions; empty if they do."""
        if self.error:
            return "failed" if self.error.startswith("failed") else "missing"
        found = [value for phase in self.phases.values() for value in phase.deviation]
        right = all(value <= self.baseline.tolerance for value in found)  # NaN is wrong
        return "" if right else "wrong"


def measure(
    baselines: Sequence[Baseline], folder: Path, threads: Sequence[int], effort: Effort,
    on_message: Callable[[str], None],
) -> list[Row]:  # fmt: skip
    """Prepare all baselines, then measure them with each number of threads.

    The folder holds the clips; model files are written into it.
    """
    rows = [Row(baseline) for baseline in baselines]
    set_environment(threads[-1])
    for row in rows:
        on_message(f"prepare {row.baseline.name}")
        with catching(row), Worker(row.baseline.name, folder) as worker:
            row.facts = worker.send("prepare")
    for count in threads:
        set_environment(count)
        starts = effort.starts if count == threads[0] else 1
        with contextlib.ExitStack() as stack:
            for row in rows:
                if not row.error:
                    on_message(f"start {row.baseline.name}, {count} threads")
                    start(row, folder, count, starts)
                    stack.enter_context(row.phases[count].worker)
            on_message(f"measure, {count} threads")
            race(rows, count, effort)
    return rows


def start(row: Row, folder: Path, threads: int, starts: int) -> None:
    """Start the process of a row, of classifiers several times, and keep the last."""
    phase = row.phases[threads] = Phase(Worker(row.baseline.name, folder))
    with catching(row):
        for left in reversed(range(starts if row.baseline.group == "classifier" else 1)):
            begin = time.perf_counter()
            phase.worker.send("load", threads)
            phase.starts.append(time.perf_counter() - begin)
            if left:
                phase.worker.shutdown()
                phase.worker = Worker(row.baseline.name, folder)


@contextlib.contextmanager
def catching(row: Row) -> Iterator[None]:
    """Note a failure in the row; the others go on."""
    try:
        yield
    except WorkerError as error:
        row.error = str(error)


def race(rows: Sequence[Row], threads: int, effort: Effort) -> None:
    """Repeats of all rows that have not failed, in turn, with a pause before each."""
    for step in (*[single] * ROUNDS, *[many] * effort.repeats):
        for row in rows:
            if not row.error:
                time.sleep(PAUSE)
                with catching(row):
                    step(row.phases[threads], effort)


def single(phase: Phase, effort: Effort) -> None:
    arguments = effort.single_seconds / ROUNDS, effort.runs // ROUNDS
    seconds, peak = phase.worker.send("single", *arguments)
    phase.single += seconds
    phase.memory = (peak, 0)


def many(phase: Phase, effort: Effort) -> None:
    found = phase.worker.send("many", effort.many_seconds)
    phase.mode, wall, cpu, peak, phase.deviation = found
    phase.wall.append(wall)
    phase.cpu.append(cpu)
    phase.memory = (phase.memory[0], peak)
