"""A process that holds one peer: ``python -m benchmarks.worker TASK NAME FOLDER [THREADS]``.

``prepare`` writes the peer's file and the slow answers; ``serve`` loads the peer, answers one clip,
says so, and then does what it is told, one JSON line in, one out. NumPy apart, only the peer's own
packages are imported, so that memory and start-up are its own.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn, TextIO

import numpy as np

from benchmarks.peer import Answer, Loaded, NotGivenError, Peer
from benchmarks.peers import find

CHECKED = 2
"""Clips whose answers are compared with the slow ones."""
SLOW = 0.5
"""A way that takes longer than so many seconds is tried twice, not four times."""


def main() -> int:
    """Do one task; the exit code."""
    task, name, folder, *more = sys.argv[1:]
    peer, place = find(name), Path(folder)
    out = own_output()
    refuse_the_network()
    try:
        for package in peer.packages:
            version(package)
        if task == "prepare":
            on_message(out, **dataclasses.asdict(prepare(peer, place)))
        else:
            serve(peer, place, int(more[0]), out)
    except PackageNotFoundError as error:
        on_message(out, missing=f"{error.name} is not installed")
    except NotGivenError as error:
        on_message(out, missing=str(error))
    except Exception as error:  # whatever a peer does, it is told of, and the others go on
        on_message(out, failed=f"{type(error).__name__}: {error}".splitlines()[0])
        raise
    return 0


def own_output() -> TextIO:
    """Standard output for the protocol alone; what libraries print goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def refuse_the_network() -> None:
    """A peer that goes to the net, or has another program do so, fails at once."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise OSError("benchmarks use no network")

    for place, name in ((socket.socket, "connect"), (socket, "getaddrinfo"), (os, "system")):
        setattr(place, name, refuse)


def on_message(out: TextIO, **values: Any) -> None:
    """One line of the protocol."""
    print(json.dumps(values), file=out, flush=True)


def clips_for(peer: Peer, folder: Path) -> Answer:
    """``[clips, samples]`` at the peer's rate; they lie beside its folder."""
    return np.asarray(np.load(folder.parent / f"clips_{peer.sample_rate}.npy"))


def prepare(peer: Peer, folder: Path) -> Any:
    """Write the peer's file and the slow answers to the first clips."""
    facts = peer.write(folder)
    answer = peer.slow(folder)
    np.save(folder / "slow.npy", [answer(clip) for clip in clips_for(peer, folder)[:CHECKED]])
    return facts


def serve(peer: Peer, folder: Path, threads: int, out: TextIO) -> None:
    """Load, answer once, and obey until there are no more commands."""
    clips = clips_for(peer, folder)
    loaded = peer.load(folder, threads)
    loaded.one(clips[0])
    on_message(out, cpu=time.process_time())
    desk = Desk(loaded, clips, folder, max(peer.batch, CHECKED))
    for line in sys.stdin:
        order = json.loads(line)
        on_message(out, **getattr(desk, order.pop("do"))(**order))


@dataclasses.dataclass
class Desk:
    """What a worker can be told to do."""

    loaded: Loaded
    clips: Answer
    folder: Path
    batch: int
    way: str = ""
    output: int = 0
    one: dict[int, Answer] = dataclasses.field(default_factory=dict)
    several: Answer = dataclasses.field(default_factory=lambda: np.empty(0))

    def single(self, runs: int) -> dict[str, Any]:
        """Seconds of so many runs with one clip each, one clip after the other."""
        seconds = []
        for _ in range(runs):
            number = self.output % len(self.clips)
            start = time.perf_counter()
            answer = self.loaded.one(self.clips[number])
            seconds.append(time.perf_counter() - start)
            self.output += 1
            if number < CHECKED:
                self.one[number] = answer
        return {"seconds": seconds}

    def choose(self) -> dict[str, Any]:
        """Try every way, keep the fastest; its name and its seconds a clip."""
        clips = self._clips(self.batch)
        tried = {}
        for name, run in self.loaded.ways.items():
            tried[name] = _timed(partial(run, clips))[1]
            if len(self.loaded.ways) > 1:  # the first run does what is done once
                again = 1 if tried[name] > SLOW else 3
                tried[name] = min(_timed(partial(run, clips))[1] for _ in range(again))
        self.way = min(tried, key=lambda name: tried[name])
        return {"way": self.way, "seconds": tried[self.way] / len(clips)}

    def many(self, count: int) -> dict[str, Any]:
        """Wall and processor seconds of so many clips, the best way."""
        clips = self._clips(count)
        answers, wall, cpu = _timed(partial(self.loaded.ways[self.way], clips))
        self.several = answers[:CHECKED]
        return {"wall": wall, "cpu": cpu}

    def memory(self) -> dict[str, Any]:
        """Largest resident size so far, in bytes."""
        return {"bytes": peak_memory()}

    def answers(self) -> dict[str, Any]:
        """Write what the latest timed runs answered to the first clips, one by one and many."""
        one = np.stack([self.one[number] for number in range(CHECKED)])
        np.savez(self.folder / "predictions.npz", one=one, many=self.several)
        return {}

    def _clips(self, count: int) -> Answer:
        return np.asarray(self.clips[np.arange(count) % len(self.clips)])


def _timed(run: Callable[[], Answer]) -> tuple[Answer, float, float]:
    """What it gives, and its wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    answers = run()
    return answers, time.perf_counter() - wall, time.process_time() - cpu


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes.

    Linux hands the peak of ``getrusage`` down from the process that started this one; the kernel's
    own high-water mark starts afresh.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    sys.exit(main())
