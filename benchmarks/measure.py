"""What is measured, and in which order: repeats of all peers take turns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np

from benchmarks.peer import SECONDS, Facts, Peer
from benchmarks.team import PeerError, Worker
from sonotype.core.cpu import available_cpus

REST = 0.02
"""Seconds between two turns, in which the threads of the one before go to sleep."""


@dataclass(frozen=True)
class Effort:
    """How long is measured.

    Attributes:
        repeats: of many clips; the slow peers take part in fewer of them.
        least: but at least in so many.
        many_seconds: of one repeat, and of a peer's repeats together at the most ``repeats`` as
            many.
        runs: with one clip.
        single_seconds: of a peer's runs with one clip, at the most.
        starts: of a process for one thread.
        starters: processes that start at a time; more than one start more slowly.
    """

    repeats: int
    least: int
    many_seconds: float
    runs: int
    single_seconds: float
    starts: int
    starters: int


FULL = Effort(
    repeats=7, least=3, many_seconds=0.4, runs=120, single_seconds=5.0, starts=3, starters=1
)
QUICK = Effort(
    repeats=3, least=1, many_seconds=0.1, runs=20, single_seconds=0.5, starts=1, starters=2
)
ROUNDS_OF_SINGLE = 5
LEAST_SINGLE = 3
"""Runs with one clip, however slow the peer."""


@dataclass
class Phase:
    """What one peer gave with one number of threads.

    Attributes:
        single: seconds of each run with one clip.
        wall: seconds of audio a second, by repeat.
        cpu: seconds of audio a second of processor time, by repeat.
        way: which was the fastest for many clips.
        memory: peak bytes with one clip at a time, and with many.
        deviation: of one clip's answer from the slow one, and of many clips'.
    """

    starts: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    wall: dict[int, float] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)
    way: str = ""
    memory: tuple[int, int] = (0, 0)
    deviation: tuple[float, float] = (0.0, 0.0)


@dataclass
class Row:
    """A peer and all that is known of it; ``fault`` says why there is nothing more."""

    peer: Peer
    facts: Facts = field(default_factory=Facts)
    phases: dict[int, Phase] = field(default_factory=dict)
    fault: str = ""

    @property
    def wrong(self) -> bool:
        """Whether any answer deviates more than it may: then its times do not count."""
        return any(
            not value <= self.peer.tolerance
            for phase in self.phases.values()
            for value in phase.deviation
        )


class Asked(Protocol):
    """What :func:`take_turns` needs of a worker."""

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """One command."""


@dataclass(frozen=True)
class Ratio:
    """A median with its smallest and its largest value."""

    value: float
    low: float
    high: float


def ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Ratio:
    """How many times as fast ours is, from the repeats that both took part in."""
    pairs = [ours[number] / theirs[number] for number in sorted(ours.keys() & theirs.keys())]
    return Ratio(median(pairs), min(pairs), max(pairs))


def rounds_for(seconds: float, effort: Effort) -> int:
    """Repeats that a peer takes part in whose repeat takes so long."""
    affordable = int(effort.repeats * effort.many_seconds / seconds)
    return min(effort.repeats, max(effort.least, affordable))


def spread(rounds: int, repeats: int) -> set[int]:
    """So many of the repeats, evenly spread, the first among them."""
    return {number * repeats // rounds for number in range(rounds)}


def deviation(peer: Peer, actual: Any, slow: Any) -> float:
    """Largest difference: of log-mels as it is, of other answers in parts of the largest one."""
    if actual.shape != slow.shape:
        return float("inf")
    worst = float(np.abs(actual - slow).max())
    return worst if peer.group.startswith("log-mel") else worst / float(np.abs(slow).max())


def measure(
    peers: Sequence[Peer],
    folder: Path,
    threads: Sequence[int],
    effort: Effort,
    step: Callable[[str], contextlib.AbstractContextManager[None]],
) -> list[Row]:
    """Prepare all peers, then measure them, with each number of threads in turn.

    Args:
        peers: in the order of the rows.
        folder: holds the clips; model files go into it.
        threads: numbers of threads.
        effort: how long.
        step: is entered for each of the steps that :func:`count_steps` counts.
    """
    rows = [Row(peer) for peer in peers]
    with ThreadPoolExecutor(available_cpus()) as pool:  # nothing is timed yet
        for row, prepared in [(row, pool.submit(prepare, row, folder)) for row in rows]:
            with step(f"prepare {row.peer.name}"):
                prepared.result()
    for number, count in enumerate(threads):
        run_phase([row for row in rows if not row.fault], folder, count, effort, step, not number)
    return rows


def prepare(row: Row, folder: Path) -> None:
    """Have the peer's file and its slow answers written, or say why not."""
    with catching(row), Worker(row.peer, folder, task="prepare") as worker:
        row.facts = Facts(**worker.first)


def count_steps(peers: int, threads: int) -> int:
    """Steps of :func:`measure`."""
    return peers * (1 + threads) + 2 * threads


def run_phase(
    rows: Sequence[Row],
    folder: Path,
    threads: int,
    effort: Effort,
    step: Callable[[str], contextlib.AbstractContextManager[None]],
    first: bool,
) -> None:
    """All that is measured with one number of threads, workers of all peers at a time."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(effort.starters) as pool:
        starts = effort.starts if first else 1
        starting = [pool.submit(start, row, folder, threads, starts) for row in rows]
        workers: dict[str, Worker] = {}
        for row, started in zip(rows, starting, strict=True):
            with step(f"start {row.peer.name}, {threads} threads"):
                worker = started.result()
            if worker is not None:
                workers[row.peer.name] = stack.enter_context(worker)
        with step(f"one clip, {threads} threads"):
            single(rows, workers, threads, effort)
        with step(f"many clips, {threads} threads"):
            many(rows, workers, threads, effort)
        for row in turns(rows, workers):
            with catching(row):
                compare(row, workers[row.peer.name], folder, threads)


def start(row: Row, folder: Path, threads: int, starts: int) -> Worker | None:
    """Start a peer so many times, and keep the last; ``None`` where it cannot be started."""
    phase = row.phases.setdefault(threads, Phase())
    kept = None
    with catching(row):
        for _ in range(starts - 1 if row.peer.group == "classifier" else 0):
            with Worker(row.peer, folder, threads) as worker:
                phase.starts.append(worker.start_seconds)
        kept = Worker(row.peer, folder, threads)
        phase.starts.append(kept.start_seconds)
    return kept


def single(rows: Sequence[Row], workers: Mapping[str, Asked], threads: int, effort: Effort) -> None:
    """Runs with one clip, in some rounds of all peers."""
    shares, joins = {}, {}
    for row in turns(rows, workers):
        with catching(row):
            warm = workers[row.peer.name].ask("single", runs=1)["seconds"][0]
            runs = min(effort.runs, max(LEAST_SINGLE, int(effort.single_seconds / warm)))
            shares[row.peer.name] = max(1, runs // ROUNDS_OF_SINGLE)
            joins[row.peer.name] = spread(min(runs, ROUNDS_OF_SINGLE), ROUNDS_OF_SINGLE)
    for number in range(ROUNDS_OF_SINGLE):
        for row in turns(rows, workers):
            if number not in joins[row.peer.name]:
                continue
            with catching(row):
                seconds = workers[row.peer.name].ask("single", runs=shares[row.peer.name])
                row.phases[threads].single += seconds["seconds"]
    for row in turns(rows, workers):
        with catching(row):
            row.phases[threads].memory = (workers[row.peer.name].ask("memory")["bytes"], 0)


def many(rows: Sequence[Row], workers: Mapping[str, Asked], threads: int, effort: Effort) -> None:
    """Repeats with many clips, the best way; in a repeat all peers take their turns."""
    counts: dict[str, int] = {}
    joins: dict[str, set[int]] = {}
    for row in turns(rows, workers):
        with catching(row):
            chosen = workers[row.peer.name].ask("choose")
            row.phases[threads].way = chosen["way"]
            batches = max(1, round(effort.many_seconds / chosen["seconds"] / row.peer.batch))
            count = batches * row.peer.batch
            counts[row.peer.name] = count
            rounds = rounds_for(count * chosen["seconds"], effort)
            joins[row.peer.name] = spread(rounds, effort.repeats)
    for number in range(effort.repeats):
        for row in turns(rows, workers):
            if number not in joins[row.peer.name]:
                continue
            with catching(row):
                count = counts[row.peer.name]
                took = workers[row.peer.name].ask("many", count=count)
                row.phases[threads].wall[number] = count * SECONDS / took["wall"]
                row.phases[threads].cpu[number] = count * SECONDS / took["cpu"]
    for row in turns(rows, workers):
        with catching(row):
            phase = row.phases[threads]
            phase.memory = (phase.memory[0], workers[row.peer.name].ask("memory")["bytes"])


def compare(row: Row, worker: Asked, folder: Path, threads: int) -> None:
    """The timed answers beside the slow ones."""
    worker.ask("predictions")
    place = folder / row.peer.name
    slow = np.load(place / "slow.npy")
    with np.load(place / "predictions.npz") as answers:
        one, several = (deviation(row.peer, answers[name], slow) for name in ("one", "many"))
    row.phases[threads].deviation = (one, several)


def turns(rows: Sequence[Row], workers: Mapping[str, Asked]) -> Iterator[Row]:
    """Rows that are still in the race, one after the other, with a rest before each."""
    for row in rows:
        if not row.fault and row.peer.name in workers:
            time.sleep(REST)
            yield row


@contextlib.contextmanager
def catching(row: Row) -> Iterator[None]:
    """A peer that fails says so in its row; the others go on."""
    try:
        yield
    except PeerError as error:
        row.fault = str(error)
