"""Run, resume or skip: new runs start, stopped runs are resumed, finished runs are skipped.

A run that is made here keeps its messages in ``log.txt`` and its wall time in ``time.json``; a
failed one has its error in ``failure.json``.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sonotype.core.cpu import available_cpus
from sonotype.core.errors import (
    MissingExtraError,
    OptionsError,
    SonotypeError,
    StoppedError,
    WeightsError,
)
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.core.progress import steps
from sonotype.data.records import counted
from sonotype.experiments.context import RunContext, ignore
from sonotype.experiments.failed_runs import FailedRunsError, described
from sonotype.experiments.pipeline import open_run, run
from sonotype.experiments.run_folder import SCORES, absolute, check_same_config
from sonotype.experiments.run_options import RunOptions
from sonotype.training.callbacks import OnMessage, duration
from sonotype.training.random_state import kept_random_state
from sonotype.training.trainer import DONE

LOG, TIME, FAILURE = "log.txt", "time.json", "failure.json"
KILLED = (
    "its process was killed, probably for lack of memory; run the same command again to resume, "
    "with fewer --jobs to need less memory"
)
COMMON_ERRORS = (OptionsError, WeightsError, MissingExtraError)
"""Errors that all runs with the same options share."""

Runs = Mapping[str, RunContext]
"""Runs by name; teachers come before their students."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended; finished if nothing is set.

    Attributes:
        failure: the error in a few words.
        error: the same as it was raised, unless the run had a process of its own.
        interrupted: by ctrl-C.
    """

    failure: str = ""
    error: Exception | None = None
    interrupted: bool = False


def train_or_resume(
    data: str | Path,
    folder: str | Path,
    *,
    progress: bool = False,
    on_message: OnMessage = ignore,
    **options: Any,
) -> None:
    """Train once: a new run, or the rest of a stopped one; do nothing for a finished one.

    Args:
        data: as for :func:`sonotype.experiments.pipeline.train`.
        folder: the run folder.
        progress: draw bars.
        on_message: is called with lines of text.
        options: as for training.

    Raises:
        OptionsError: the run in the folder has other options or data.
        StoppedError: interrupted; the same call resumes it.
        SonotypeError: the run failed.
    """
    folder = Path(folder)
    context = open_run(
        data, folder, RunOptions.of(options), progress=progress, on_message=on_message
    )
    check_same_config(context)
    if finished(context):
        on_message(f"{folder}: already finished")
        return
    outcome = run_or_resume(context)
    if outcome.interrupted:
        raise StoppedError(f"{folder}: interrupted; run the same command again to resume")
    if outcome.failure:
        raise SonotypeError(f"{folder}: {outcome.failure}")


def run_many(
    runs: Runs,
    title: str,
    *,
    jobs: int = 1,
    same_options: bool = False,
    progress: bool = False,
    on_message: OnMessage = ignore,
) -> bool:
    """Run all that are not finished; whether all are in the end.

    A failed run does not stop the others, except for its students, which are not run.

    Args:
        runs: of any options; a run in the folder of each is resumed.
        title: of all of them.
        jobs: runs at a time; each has its own process and its share of the processors.
        same_options: the runs differ only in their splits: an error of options ends all of them,
            and an error that all of them have is raised as it is.
        progress: draw a bar.
        on_message: is called with a line of text for each run.

    Raises:
        FailedRunsError: some runs failed; the next call runs these again.
        OptionsError: a run was started with other options or data.
    """
    for context in runs.values():
        check_same_config(context)
    left = {name: context for name, context in runs.items() if not finished(context)}
    done = len(runs) - len(left)
    on_message(f"{title}: {counted(len(runs), 'run')}, {done} finished")
    for context in left.values():
        (context.folder / FAILURE).unlink(missing_ok=True)
    failed: dict[str, Outcome] = {}
    start, count, interrupted = time.monotonic(), 0, False
    with steps("runs", len(left), show=progress) as bar:
        for name, outcome in _outcomes(left, jobs):
            if outcome.interrupted:
                interrupted = True
                break
            if same_options and isinstance(outcome.error, COMMON_ERRORS):
                raise outcome.error
            count += 1
            state = headline(left[name].folder) if not outcome.failure else ""
            if outcome.failure:
                failed[name], state = outcome, f"failed: {outcome.failure}"
                failure = json_text({"error": outcome.failure}) + "\n"
                write_text(left[name].folder / FAILURE, failure)
            remaining = (time.monotonic() - start) / count * (len(left) - count)
            with bar.done():
                on_message(
                    f"{done + count:>3}/{len(runs)}  {name}  {state}  {duration(remaining)} left"
                )
    if failed:
        causes = {name: outcome.failure for name, outcome in failed.items()}
        first = next(iter(failed.values())).error
        if same_options and first and len(causes) == len(runs) and len({*causes.values()}) == 1:
            raise first
        skipped = 0 if interrupted else len(left) - count
        more = f"{counted(skipped, 'run')} skipped: a teacher failed" if skipped else ""
        raise FailedRunsError(counted(len(runs), "run"), causes, more) from first
    return not interrupted


def _outcomes(runs: Runs, jobs: int) -> Iterator[tuple[str, Outcome]]:
    """Each run as it ends; after an interrupted one none. Students of failed runs are left out."""
    failed: set[str] = set()
    waiting = dict(runs)
    results = _in_processes(waiting, failed, jobs) if jobs > 1 else _in_order(waiting, failed)
    for name, outcome in results:
        if outcome.failure:
            failed.add(absolute(runs[name].folder))
        yield name, outcome
        if outcome.interrupted:
            return


def _in_order(waiting: dict[str, RunContext], failed: set[str]) -> Iterator[tuple[str, Outcome]]:
    """Run one after the other in this process."""
    while waiting:
        for name in _ready(waiting, {}, failed)[:1]:
            context = waiting.pop(name)
            context.on_message(name)
            yield name, run_or_resume(context)


def _in_processes(
    waiting: dict[str, RunContext], failed: set[str], jobs: int
) -> Iterator[tuple[str, Outcome]]:
    """Run several at a time, each in a process of its own."""
    threads = max(1, available_cpus() // jobs)
    # A pool of one process each: if a process dies, it is known which run it had.
    idle = [_new_process(threads) for _ in range(min(jobs, len(waiting)))]
    running: dict[Future[Outcome], tuple[ProcessPoolExecutor, str]] = {}
    contexts = dict(waiting)
    try:
        while waiting or running:
            busy = {name: contexts[name] for _, name in running.values()}
            for name in _ready(waiting, busy, failed)[: len(idle)]:
                pool = idle.pop()
                running[_submit(pool, waiting.pop(name))] = pool, name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                pool, name = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    outcome = Outcome(KILLED)
                    pool.shutdown(wait=False)
                    pool = _new_process(threads)
                except Exception as error:  # such as a result that cannot be pickled
                    outcome = Outcome(described(error))
                idle.append(pool)
                yield name, outcome
    except KeyboardInterrupt:  # the processes were interrupted as well
        yield next(iter(contexts)), Outcome(interrupted=True)
    finally:
        for pool in [*idle, *(pool for pool, _ in running.values())]:
            pool.shutdown(wait=True, cancel_futures=True)


def _ready(waiting: dict[str, RunContext], running: Runs, failed: set[str]) -> list[str]:
    """Names of the runs whose teachers are finished; drops the students of failed runs.

    If only runs that wait for each other are left, the first one: it fails with a clear error.
    """
    for name, context in list(waiting.items()):
        if not failed.isdisjoint(context.options.teaching.teachers):
            failed.add(absolute(waiting.pop(name).folder))
    pending = {absolute(context.folder) for context in (*waiting.values(), *running.values())}
    ready = [
        name
        for name, context in waiting.items()
        if pending.isdisjoint(context.options.teaching.teachers)
    ]
    return ready if ready or running else list(waiting)[:1]


def _new_process(threads: int) -> ProcessPoolExecutor:
    """A process for one run at a time; it starts with its first run."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin_process, (threads,))


def _submit(pool: ProcessPoolExecutor, context: RunContext) -> Future[Outcome]:
    """The future outcome, also if the process has died in the meantime."""
    try:
        return pool.submit(run_in_process, context)
    except BrokenProcessPool as error:
        broken: Future[Outcome] = Future()
        broken.set_exception(error)
        return broken


def _begin_process(threads: int) -> None:
    """Use a share of the processors; exit when the parent is killed."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def exit_with_parent() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=exit_with_parent, daemon=True).start()


def run_in_process(context: RunContext) -> Outcome:
    """:func:`run_or_resume` with an outcome that can be pickled."""
    return replace(run_or_resume(context), error=None)


@kept_random_state()
def run_or_resume(context: RunContext) -> Outcome:
    """Train and score, or resume; errors are returned. In the end the checkpoints are removed."""
    folder, start = context.folder, time.monotonic()
    try:
        with _log(folder, context.on_message) as on_message:
            result = run(replace(context, on_message=on_message))
    except (StoppedError, KeyboardInterrupt):
        return Outcome(interrupted=True)
    except Exception as error:
        if not isinstance(error, SonotypeError):
            with contextlib.suppress(OSError), (folder / LOG).open("a", encoding="utf-8") as stream:
                stream.write(traceback.format_exc())
        return Outcome(described(error), error)
    if result.interrupted:
        return Outcome(interrupted=True)
    write_text(folder / TIME, json_text({"seconds": time.monotonic() - start}) + "\n")
    # Without its checkpoints, a training that was "done" could not be loaded again.
    for path in (folder / "training" / DONE, *(folder / "training").glob("*.ckpt")):
        path.unlink(missing_ok=True)
    return Outcome()


@contextmanager
def _log(folder: Path, on_message: OnMessage) -> Iterator[OnMessage]:
    """Append messages to the log of a run, and pass them on."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a", encoding="utf-8") as stream:

        def log(line: str) -> None:
            stream.write(line + "\n")
            stream.flush()
            on_message(line)

        yield log


def finished(context: RunContext) -> bool:
    """Whether a run has its scores, or, if it tests nothing, its model."""
    return (context.folder / (SCORES if context.split.test else TIME)).exists()


def failure_of(folder: Path) -> str:
    """The error of a failed run in one line; empty for others."""
    if (folder / SCORES).exists() or not (folder / FAILURE).exists():
        return ""
    text = str(json.loads((folder / FAILURE).read_text(encoding="utf-8"))["error"])
    return next(iter(text.splitlines()), "")


def seconds_of(folder: Path) -> float:
    """Wall time of a finished run; of a resumed one, the time of its last session."""
    try:
        return float(json.loads((folder / TIME).read_text(encoding="utf-8"))["seconds"])
    except FileNotFoundError:  # killed after the scores were written
        return 0.0


def headline(folder: Path) -> str:
    """The main score of each head of a finished run, for a line of progress."""
    if not (folder / SCORES).exists():  # nothing was tested
        return "finished"
    scores: dict[str, Any] = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    coarse, *finer = scores["heads"].items()
    texts = [f"{coarse[0]} F1 {coarse[1]['f1']['value']:.3f}"]
    texts += [f"{name} accuracy {head['accuracy']['value']:.3f}" for name, head in finer]
    return "  ".join(texts)
