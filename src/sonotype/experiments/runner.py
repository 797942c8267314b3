"""Run, resume or skip: new runs start, stopped runs are resumed, finished runs are skipped.

A run that is made here keeps its messages in ``log.txt`` and its wall time in ``time.json``; a
failed one has its error in ``failure.json``.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from sonotype.core.child_process import exit_with_parent
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import (
    MissingExtraError,
    OptionsError,
    SonotypeError,
    StoppedError,
    WeightsError,
    is_memory_error,
    memory_cause,
)
from sonotype.core.io import open_to_append, write_text
from sonotype.core.json_text import json_text, read_json
from sonotype.core.progress import OnMessage, steps
from sonotype.core.text import counted, duration
from sonotype.experiments.context import RunContext, ignore
from sonotype.experiments.opening import open_run
from sonotype.experiments.pipeline import run
from sonotype.experiments.run_folder import (
    SCORES,
    TIME,
    absolute,
    check_same_config,
    write_seconds,
)
from sonotype.experiments.run_lock import refuse_links_of_run
from sonotype.experiments.run_options import RunOptions
from sonotype.training.random_state import kept_random_state
from sonotype.training.result import DONE

LOG, FAILURE = "log.txt", "failure.json"
KILLED = (
    "its process was killed, probably for lack of memory; run the same command again to resume, "
    "with fewer --jobs to need less memory"
)
COMMON_ERRORS = (OptionsError, WeightsError, MissingExtraError)
"""Errors that all runs with the same options share."""

Runs = Mapping[str, RunContext]
"""Runs by name; teachers come before their students."""


class FailedRunsError(SonotypeError):
    """Some of several runs failed; the others are finished. The same call runs these again.

    Attributes:
        failures: cause by name of the run.
    """

    def __init__(self, total: str, failures: Mapping[str, str], more: str = "") -> None:
        self.failures = dict(failures)
        lines = [f"{name}: {cause}" for name, cause in failures.items()]
        text = "\n  ".join([f"{len(failures)} of {total} failed:", *lines])
        super().__init__(f"{text}\n{more}" if more else text)


Result = Exception | None
"""How a run ended: ``None`` if it is finished, a ``StoppedError`` if ctrl-C interrupted it."""


def train_or_resume(
    data: str | Path,
    folder: str | Path,
    *,
    progress: bool = False,
    on_message: OnMessage = ignore,
    **options: Any,
) -> None:
    """Start, resume or skip a single run; arguments as for :func:`pipeline.train`.

    Raises:
        OptionsError: the run in the folder has other options or data.
        StoppedError: interrupted; the same call resumes it.
        SonotypeError: the run failed.
    """
    folder = Path(folder)
    shared = {"progress": progress, "on_message": on_message}
    context = open_run(data, folder, RunOptions.of(options), **shared)
    refuse_links_of_run(Path(os.path.realpath(folder)))  # the user may have named a link
    check_same_config(context)
    if finished(context):
        on_message(f"{folder}: already finished")
        return
    error = run_or_resume(context)
    if isinstance(error, StoppedError):
        raise StoppedError(f"{folder}: interrupted; run the same command again to resume")
    if error is not None:
        raise SonotypeError(f"{folder}: {described(error)}") from error


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
        OptionsError: a run was started with other options or data, or there are links in its
            folder.
    """
    for context in runs.values():
        refuse_links_of_run(context.folder)
        check_same_config(context)
    left = {name: context for name, context in runs.items() if not finished(context)}
    done = len(runs) - len(left)
    on_message(f"{title}: {counted(len(runs), 'run')}, {done} finished")
    for context in left.values():
        (context.folder / FAILURE).unlink(missing_ok=True)
    failed: dict[str, Exception] = {}
    start, count, interrupted = time.monotonic(), 0, False
    with steps("runs", len(left), show=progress) as bar:
        for name, error in _results(left, jobs):
            if interrupted := isinstance(error, StoppedError):
                break
            if same_options and isinstance(error, COMMON_ERRORS):
                raise error
            count += 1
            if error is None:
                state = headline(left[name].folder)
            else:
                failed[name], state = error, f"failed: {described(error)}"
                failure = json_text({"error": described(error)}) + "\n"
                write_text(left[name].folder / FAILURE, failure)
            remaining = (time.monotonic() - start) / count * (len(left) - count)
            with bar.done():
                on_message(
                    f"{done + count:>3}/{len(runs)}  {name}  {state}  {duration(remaining)} left"
                )
    if not failed:
        return not interrupted
    causes = {name: described(error) for name, error in failed.items()}
    first = next(iter(failed.values()))
    if same_options and len(causes) == len(runs) and len({*causes.values()}) == 1:
        raise first
    skipped = 0 if interrupted else len(left) - count
    more = f"{counted(skipped, 'run')} skipped: a teacher failed" if skipped else ""
    raise FailedRunsError(counted(len(runs), "run"), causes, more) from first


def _results(runs: Runs, jobs: int) -> Iterator[tuple[str, Result]]:
    """Each run as it ends, until one is interrupted. Students of failed runs are left out.

    Several jobs have a process each; a single job runs in this process.
    """
    waiting, failed = dict(runs), set[str]()
    running: dict[Future[Result], tuple[ProcessPoolExecutor | None, str]] = {}
    threads = max(1, available_cpus() // jobs)
    # A pool of one process each: if a process dies, it is known which run it had.
    idle = [_new_process(threads) if jobs > 1 else None for _ in range(min(jobs, len(runs)))]
    try:
        while waiting or running:
            busy = {name: runs[name] for _, name in running.values()}
            for name in _ready(waiting, busy, failed)[: len(idle)]:
                pool = idle.pop()
                running[_submit(pool, waiting.pop(name))] = pool, name
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                pool, name = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    result, pool = SonotypeError(KILLED), _new_process(threads)
                except Exception as error:  # such as a result that cannot be pickled
                    result = error
                idle.append(pool)
                if result is not None:
                    failed.add(absolute(runs[name].folder))
                yield name, result
                if isinstance(result, StoppedError):
                    return
    except KeyboardInterrupt:  # the processes were interrupted as well
        yield next(iter(runs)), StoppedError()
    finally:
        for pool in [*idle, *(pool for pool, _ in running.values())]:
            if pool is not None:
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


def processes() -> Any:
    """The context of new processes; on Linux they fork from a server that imports torch once."""
    context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
    if sys.platform == "linux":
        context.set_forkserver_preload([__name__])
    return context


def _new_process(threads: int) -> ProcessPoolExecutor:
    """A process for one run at a time; it starts with its first run."""
    return ProcessPoolExecutor(1, processes(), _begin_process, (threads,))


def _submit(pool: ProcessPoolExecutor | None, context: RunContext) -> Future[Result]:
    """The future outcome, also if the process has died in the meantime."""
    future: Future[Result] = Future()
    if pool is None:
        context.on_message(context.folder.name)
        future.set_result(run_or_resume(context))
        return future
    try:
        return pool.submit(run_in_process, context)
    except BrokenProcessPool as error:
        future.set_exception(error)
        return future


def _begin_process(threads: int) -> None:
    """Use a share of the processors; exit when the parent is killed."""
    torch.set_num_threads(threads)
    exit_with_parent()


def run_in_process(context: RunContext) -> Result:
    """:func:`run_or_resume` with a result that can be pickled."""
    error = run_or_resume(context)
    if error is None or isinstance(error, StoppedError):
        return error
    return SonotypeError(described(error))


@kept_random_state()
def run_or_resume(context: RunContext) -> Result:
    """Train and score, or resume. In the end the checkpoints are removed."""
    folder, start = context.folder, time.monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open_to_append(folder / LOG) as stream:

            def log(line: str) -> None:
                stream.write(line + "\n")
                stream.flush()
                context.on_message(line)

            result = run(replace(context, on_message=log))
    except (StoppedError, KeyboardInterrupt):
        return StoppedError()
    except Exception as error:
        if not isinstance(error, SonotypeError):
            with contextlib.suppress(OSError), open_to_append(folder / LOG) as stream:
                stream.write(traceback.format_exc())
        return error
    if result.interrupted:
        return StoppedError()
    write_seconds(folder, time.monotonic() - start)
    # Without its checkpoints, a training that was "done" could not be loaded again.
    for path in (folder / "training" / DONE, *(folder / "training").glob("*.ckpt")):
        path.unlink(missing_ok=True)
    return None


def described(error: Exception) -> str:
    """The message of our own errors; type and first line of unexpected ones."""
    if isinstance(error, SonotypeError):
        return str(error)
    if is_memory_error(error):
        return f"{memory_cause(error)}; close other programs, or use a smaller --batch-size"
    first = next(iter(str(error).strip().splitlines()), "")
    return f"unexpected {type(error).__name__}" + (f": {first}" if first else "")


def finished(context: RunContext) -> bool:
    """Whether a run has its scores, or, if it tests nothing, its model."""
    return (context.folder / (SCORES if context.split.test else TIME)).exists()


def failure_of(folder: Path) -> str:
    """The error of a failed run in one line; empty for others."""
    path = folder / FAILURE
    try:
        text = str(read_json(path)["error"]) if path.exists() else ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = f"{path} cannot be read ({error})"
    return next(iter(text.splitlines()), "")


def headline(folder: Path) -> str:
    """The main score of each head of a finished run, for a line of progress."""
    if not (folder / SCORES).exists():  # nothing was tested
        return "finished"
    try:
        heads: dict[str, Any] = read_json(folder / SCORES)["heads"]
        if not heads:  # no clip had a label that was learnt
            return "finished"
        coarse, *finer = heads.items()
        texts = [f"{coarse[0]} F1 {coarse[1]['f1']['value']:.3f}"]
        texts += [f"{name} accuracy {head['accuracy']['value']:.3f}" for name, head in finer]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"finished, but {folder / SCORES} cannot be read ({error})"
    return "  ".join(texts)
