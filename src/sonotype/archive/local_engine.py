"""Units of work in processes of this machine; a process that ends is replaced.

Each process has a pipe of its own, so that one that is killed at any moment blocks no other. The
pipe holds little, so a process waits until its messages are taken.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from sonotype.archive.tasks import Message, OpenTask, TaskSpec, Unit, work
from sonotype.core.errors import SonotypeError

AHEAD = 2
"""Units that a process has at a time: the one in work, and the next one."""
STARTS, LATER_STARTS = 3, 30
"""Processes in a row that may end before they are ready: at first, and after one was ready."""

OnUnit = Callable[[Unit], None]


@dataclass(eq=False)
class _Worker:
    """A process, its pipe, and the units that it has."""

    process: BaseProcess
    pipe: Connection
    ready: bool = False
    units: deque[Unit] = field(default_factory=deque)


def run_local(
    spec: TaskSpec,
    units: Iterable[Unit],
    open_task: OpenTask,
    *,
    workers: int,
    retries: int,
    on_unit: OnUnit,
) -> Generator[Message, None, None]:
    """Do units in processes; their messages, in any order of the units.

    Args:
        spec: what to do.
        units: in the order of their start.
        open_task: opens the models in each process.
        workers: number of processes.
        retries: how often a unit whose process ended is repeated; then it is ``lost``.
        on_unit: is called with each unit before it starts.

    Raises:
        SonotypeError: the models cannot be opened; processes end before they are ready.
    """
    pool = _Pool(spec, open_task, retries)
    try:
        yield from pool.run(iter(units), workers, on_unit)
    finally:
        pool.stop()


class _Pool:
    """The processes."""

    def __init__(self, spec: TaskSpec, open_task: OpenTask, retries: int) -> None:
        self._arguments = (spec, open_task)
        self._retries = retries
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._again: deque[Unit] = deque()
        self._ends: Counter[int] = Counter()
        self._failed_starts, self._allowed = 0, STARTS

    def run(self, units: Iterator[Unit], workers: int, on_unit: OnUnit) -> Iterator[Message]:
        """Give units to the processes until all are done."""

        def following() -> Unit | None:
            if self._again:
                return self._again.popleft()
            unit = next(units, None)
            if unit is not None:
                on_unit(unit)
            return unit

        while True:
            for worker in self._workers:
                while len(worker.units) < AHEAD and (unit := following()) is not None:
                    self._give(worker, unit)
            while len(self._workers) < workers and (unit := following()) is not None:
                self._workers.append(self._start())
                self._give(self._workers[-1], unit)
            if not any(worker.units for worker in self._workers):
                return
            by_pipe = {worker.pipe: worker for worker in self._workers}
            for pipe in wait(list(by_pipe)):
                yield from self._received(by_pipe[pipe])  # type: ignore[index]

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, *self._arguments), name="sonotype-archive", daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _give(self, worker: _Worker, unit: Unit) -> None:
        worker.units.append(unit)
        with suppress(OSError):  # it has ended, which is seen when its pipe is read
            worker.pipe.send(unit)

    def _received(self, worker: _Worker) -> Iterator[Message]:
        """One message of a process, or what follows from its end."""
        try:
            message: Message | None = worker.pipe.recv()
        except Exception:  # at its end, or in the middle of a message
            yield from self._ended(worker)
            return
        if message is None:
            worker.ready, self._failed_starts, self._allowed = True, 0, LATER_STARTS
        elif message.kind == "failed":
            raise SonotypeError(message.text)
        else:
            if message.kind == "done":
                worker.units.popleft()
            yield message

    def _ended(self, worker: _Worker) -> Iterator[Message]:
        """A process ended by itself, or was killed: its units are done again."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        code = worker.process.exitcode
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= self._allowed:
                raise SonotypeError(
                    f"the processes of the archive end while they start (exit code {code}); use "
                    "less --workers if the memory is full"
                )
        elif worker.units:
            unit = worker.units[0]
            self._ends[unit.number] += 1
            if self._ends[unit.number] > self._retries:
                worker.units.popleft()
                yield Message(unit.number, 0, "lost")
        self._again.extendleft(reversed(worker.units))

    def stop(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()


def _serve(pipe: Connection, spec: TaskSpec, open_task: OpenTask) -> None:
    """Do the units that come through a pipe until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that writes decides
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        try:
            task = open_task(spec)
            use_one_thread()
        except Exception as error:
            pipe.send(failure(error))
            return
        pipe.send(None)
        while True:
            for message in work(task, pipe.recv()):
                pipe.send(message)
    except (EOFError, OSError):  # the process that writes has ended
        os._exit(0)


def use_one_thread() -> None:
    """Let torch, if the models need it, use one processor: there is a process for each."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def failure(error: Exception) -> Message:
    """The message that no unit can be done."""
    text = str(error) if isinstance(error, SonotypeError) else f"{type(error).__name__}: {error}"
    return Message(-1, 0, "failed", text=text)


def run_here(
    spec: TaskSpec, units: Iterable[Unit], open_task: OpenTask, *, on_unit: OnUnit
) -> Generator[Message, None, None]:
    """As :func:`run_local`, in this process."""
    task = open_task(spec)
    use_one_thread()
    for unit in units:
        on_unit(unit)
        yield from work(task, unit)
