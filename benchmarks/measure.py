"""The measurements and their order: repeats of all baselines are interleaved."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.baseline import SECONDS, Baseline, Facts
from benchmarks.worker import Worker, WorkerError, set_environment
from sonotype.core.cpu import available_cpus

PAUSE = 0.02
"""Seconds between two measurements, in which the threads of the first go to sleep."""
ROUNDS = 5
"""Of runs with one clip."""


@dataclass(frozen=True)
class Effort:
    """Duration of the measurement."""

    repeats: int  # with many clips
    many_seconds: float  # of a repeat, which has at least one batch
    runs: int  # with one clip
    single_seconds: float  # of a baseline's runs with one clip, of which there are at least ROUNDS
    starts: int  # of processes with one thread
    starters: int  # processes that start at the same time; several start more slowly


FULL = Effort(7, 0.4, 120, 5.0, starts=3, starters=1)
QUICK = Effort(3, 0.1, 20, 0.5, starts=1, starters=2)


@dataclass
class Phase:
    """Results of one baseline with one number of threads."""

    starts: list[float] = field(default_factory=list)  # seconds to the first prediction
    single: list[float] = field(default_factory=list)  # seconds of each run with one clip
    wall: list[float] = field(default_factory=list)  # by repeat: seconds of audio in a second
    cpu: list[float] = field(default_factory=list)  # the same in a second of processor time
    mode: str = ""  # the fastest for many clips
    memory: tuple[int, int] = (0, 0)  # peak bytes with one clip at a time, and with many
    deviation: tuple[float, float] = (0.0, 0.0)  # likewise, from the reference


@dataclass
class Row:
    """A baseline and its results by number of threads; ``error`` says why there are none."""

    baseline: Baseline
    facts: Facts = field(default_factory=Facts)
    phases: dict[int, Phase] = field(default_factory=dict)
    error: str = ""

    @property
    def wrong(self) -> bool:
        """Whether a prediction deviates by more than the tolerance: its times do not count."""
        found = [value for phase in self.phases.values() for value in phase.deviation]
        return not all(value <= self.baseline.tolerance for value in found)  # NaN is wrong


class Ratio(NamedTuple):
    """A median with its smallest and its largest value."""

    value: float
    low: float
    high: float


def ratio(first: Sequence[float], other: Sequence[float]) -> Ratio:
    """How many times as fast the first is, repeat by repeat."""
    pairs = [a / b for a, b in zip(first, other, strict=True)]
    return Ratio(median(pairs), min(pairs), max(pairs))


def measure(
    baselines: Sequence[Baseline],
    folder: Path,
    threads: Sequence[int],
    effort: Effort,
    on_message: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Prepare all baselines, then measure them with each number of threads.

    The folder holds the clips; model files are written into it.
    """
    rows = [Row(baseline) for baseline in baselines]

    def prepare(row: Row) -> None:
        with catching(row), Worker(row.baseline, folder, task="prepare") as worker:
            row.facts = Facts(**worker.first)

    on_message("prepare")
    set_environment(1)
    with ThreadPoolExecutor(available_cpus()) as pool:  # nothing is timed yet
        list(pool.map(prepare, rows))
    for count in threads:
        set_environment(count)
        running = [row for row in rows if not row.error]
        starts = effort.starts if count == threads[0] else 1
        with contextlib.ExitStack() as stack:
            on_message(f"start processes, {count} threads")
            with ThreadPoolExecutor(effort.starters) as pool:
                found = list(pool.map(partial(start, folder, count, starts), running))
            workers = [stack.enter_context(worker) for worker in found if worker]
            started = [row for row in running if not row.error]
            race = [
                (row, row.phases[count], worker)
                for row, worker in zip(started, workers, strict=True)
            ]
            on_message(f"one clip, {count} threads")
            single(race, effort)
            on_message(f"many clips, {count} threads")
            many(race, effort)
    return rows


def start(folder: Path, threads: int, starts: int, row: Row) -> Worker | None:
    """Start a process several times, and keep the last; ``None`` if it fails."""
    phase = row.phases.setdefault(threads, Phase())
    started: Worker | None = None
    with catching(row):
        for _ in range(starts - 1 if row.baseline.group == "classifier" else 0):
            with Worker(row.baseline, folder, threads) as worker:
                phase.starts.append(worker.start_seconds)
        worker = Worker(row.baseline, folder, threads)
        phase.starts.append(worker.start_seconds)
        started = worker
    return started  # noqa: RET504


@contextlib.contextmanager
def catching(row: Row) -> Iterator[None]:
    """Note a failure in the row; the others go on."""
    try:
        yield
    except WorkerError as error:
        row.error = str(error)


Race = Sequence[tuple[Row, Phase, Worker]]


def each(race: Race, function: Callable[[Row, Phase, Worker], None]) -> None:
    """Call a function for the rows that have not failed, in turn, with a pause before each."""
    for row, phase, worker in race:
        if not row.error:
            time.sleep(PAUSE)
            with catching(row):
                function(row, phase, worker)


def single(race: Race, effort: Effort) -> None:
    """Runs with one clip, in some rounds of all rows; then the memory."""
    runs: dict[str, int] = {}

    def plan(row: Row, phase: Phase, worker: Worker) -> None:
        warm_up = worker.send("single", runs=1)["seconds"][0]
        total = min(effort.runs, int(effort.single_seconds / warm_up))
        runs[row.baseline.name] = max(1, total // ROUNDS)

    def run(row: Row, phase: Phase, worker: Worker) -> None:
        phase.single += worker.send("single", runs=runs[row.baseline.name])["seconds"]

    def memory(row: Row, phase: Phase, worker: Worker) -> None:
        phase.memory = (worker.send("memory")["bytes"], 0)

    each(race, plan)
    for _ in range(ROUNDS):
        each(race, run)
    each(race, memory)


def many(race: Race, effort: Effort) -> None:
    """Repeats with many clips in the fastest mode; then memory and deviation."""
    counts: dict[str, int] = {}

    def plan(row: Row, phase: Phase, worker: Worker) -> None:
        fastest, batch = worker.send("choose"), row.baseline.batch
        phase.mode = fastest["mode"]
        batches = max(1, round(effort.many_seconds / fastest["seconds"] / batch))
        counts[row.baseline.name] = batches * batch

    def run(row: Row, phase: Phase, worker: Worker) -> None:
        count = counts[row.baseline.name]
        seconds = worker.send("many", count=count)
        phase.wall.append(count * SECONDS / seconds["wall"])
        phase.cpu.append(count * SECONDS / seconds["cpu"])

    def finish(row: Row, phase: Phase, worker: Worker) -> None:
        phase.memory = (phase.memory[0], worker.send("memory")["bytes"])
        found = worker.send("deviation")
        phase.deviation = (found["single"], found["many"])

    each(race, plan)
    for _ in range(effort.repeats):
        each(race, run)
    each(race, finish)
