"""Run a study: every cell once, in any number of sittings and processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sonotype.data.manifest import Manifest
from sonotype.data.parts import without_validation
from sonotype.data.source import open_source
from sonotype.data.splits import Split, cross_validation
from sonotype.errors import OptionsError, SonotypeError, StoppedError
from sonotype.evaluation.files import write_text
from sonotype.study.plan import Cell, Plan
from sonotype.training.callbacks import duration
from sonotype.training.run import inspect, parts_of, run_split
from sonotype.training.run_folder import CONFIG, SCORES
from sonotype.training.run_options import RunOptions

LOG, TIME, MAPS = "log.txt", "time.json", "maps"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """A cell with all that a process of its own needs to run it."""

    cell: Cell
    options: Mapping[str, Any]
    data: str
    fingerprint: str
    out: Path

    @property
    def folder(self) -> Path:
        """The cell's run folder."""
        return self.out / self.cell.folder


def run_study(
    plan: Plan,
    data: str | Path,
    out: str | Path,
    *,
    jobs: int = 1,
    progress: bool = False,
    say: Say = lambda _: None,
) -> bool:
    """Run every cell that is not finished; whether all are in the end.

    Each cell is a run folder as training makes it, with its log and its time beside. The maps of
    the frozen part are shared by the cells and removed when all are finished.

    Args:
        plan: from :func:`sonotype.study.plan.read_plan`.
        data: the source, as for training.
        out: the study's folder; finished cells in it are kept.
        jobs: cells that are run at a time, each in a process with its share of the processors.
        progress: draw a bar while the sounds are checked.
        say: gets a line for each cell that is done.

    Raises:
        DataError: faults of the data.
        OptionsError: a cell in ``out`` was run with other options or data, or a fold is not there.
        SonotypeError: cells failed; the others are finished.
    """
    out = Path(out)
    tasks = _tasks(plan, data, out, progress)
    waiting = [task for task in tasks if not (task.folder / SCORES).exists()]
    done = len(tasks) - len(waiting)
    say(f"{plan.title}: {len(tasks)} cells, {done} of them finished")
    failures: dict[str, str] = {}
    start, count = time.monotonic(), 0
    interrupted = False
    for task, failure in _results(waiting, jobs):
        count += 1
        name = task.cell.folder.removeprefix("cells/")
        if failure == _STOPPED:
            interrupted = True
            continue
        if failure:
            failures[name] = failure
        left = (time.monotonic() - start) / count * (len(waiting) - count)
        state = f"failed: {failure}" if failure else _figures(task.folder)
        say(f"{done + count:>3}/{len(tasks)}  {name}  {state}  {duration(left)} left")
    if failures:
        lines = "\n  ".join(f"{name}: {cause}" for name, cause in failures.items())
        raise SonotypeError(f"{len(failures)} of {len(tasks)} cells failed:\n  {lines}")
    if not interrupted:
        shutil.rmtree(out / MAPS, ignore_errors=True)
    return not interrupted


_STOPPED = "interrupted"


def _results(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, str]]:
    """Each task as it ends, with what went wrong."""
    if jobs <= 1:
        for task in tasks:
            failure = run_cell(task)
            yield task, failure
            if failure == _STOPPED:
                return
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), torch.set_num_threads, (threads,)
    )
    with pool:
        running = {pool.submit(run_cell, task): task for task in tasks}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
                if future.result() == _STOPPED:
                    pool.shutdown(wait=False, cancel_futures=True)
                    return
        except KeyboardInterrupt:
            # The processes were interrupted as well, and leave their cells to be gone on with.
            pool.shutdown(wait=True, cancel_futures=True)
            yield next(iter(running.values())), _STOPPED


def run_cell(task: Task) -> str:
    """Train and test one cell, or go on with it; what went wrong, in a few words, or nothing."""
    options = RunOptions.of({**task.options, "seed": task.cell.seed})
    start = time.monotonic()
    try:
        manifest = open_source(task.data, options.source)
        with _log(task.folder) as say:
            result = run_split(
                manifest,
                split_of(manifest, options, task.cell.fold),
                task.folder,
                options,
                data=task.data,
                fingerprint=task.fingerprint,
                maps=task.out / MAPS,
                say=say,
            )
    except (StoppedError, KeyboardInterrupt):
        return _STOPPED
    except SonotypeError as error:
        return str(error)
    if result.interrupted:
        return _STOPPED
    write_text(task.folder / TIME, json.dumps({"seconds": time.monotonic() - start}) + "\n")
    for checkpoint in (task.folder / "training").glob("*.ckpt"):
        checkpoint.unlink()
    return ""


def split_of(manifest: Manifest, options: RunOptions, fold: int | None) -> Split:
    """The parts of a cell: those of cross-validation whose test part is the fold, or a split.

    Raises:
        OptionsError: the source has no such fold.
    """
    if fold is None:
        return parts_of(manifest, options)
    if fold not in manifest.folds:
        there = ", ".join(map(str, manifest.folds)) or "no folds"
        raise OptionsError(f"fold {fold} is not in {manifest.name}; there are {there}")
    splits = cross_validation(manifest, seed=options.train.seed)
    parts = splits[manifest.folds.index(fold)]
    return without_validation(parts) if options.train.keep == "last" else parts


def seconds_of(folder: Path) -> float:
    """How long a finished cell took; of one that was stopped, its last sitting."""
    return float(json.loads((folder / TIME).read_text(encoding="utf-8"))["seconds"])


def _tasks(plan: Plan, data: str | Path, out: Path, progress: bool) -> list[Task]:
    """Every cell, compared with what is already in the folder."""
    fingerprints: dict[str, str] = {}
    tasks = []
    for cell in plan.cells():
        options = RunOptions.of({**plan.row(cell.row).options, "seed": cell.seed})
        key = repr(options.source)
        if key not in fingerprints:
            manifest = open_source(data, options.source)
            fingerprints[key] = inspect(manifest, progress=progress)
            for fold in {other.fold for other in plan.cells()} - {None}:
                split_of(manifest, options, fold)
        task = Task(cell, plan.row(cell.row).options, str(data), fingerprints[key], out)
        _compare(task, options)
        tasks.append(task)
    return tasks


def _compare(task: Task, options: RunOptions) -> None:
    """Raise where the cell's folder was begun with other options or data."""
    path = task.folder / CONFIG
    if not path.exists():
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    before, now = found["options"], options.flat()
    names = sorted(
        name for name in {*before, *now} if before.get(name, "missing") != now.get(name, "missing")
    )
    if found["fingerprint"] != task.fingerprint:
        names.append("data")
    if names:
        raise OptionsError(
            f"{task.folder} was run with other {', '.join(names)}; remove it to run the cell "
            "again, or name another --out"
        )


def _figures(folder: Path) -> str:
    scores = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    figures = f"category F1 {scores['category']['f1']['value']:.3f}"
    if scores["event"] is not None:
        figures += f"  event accuracy {scores['event']['accuracy']['value']:.3f}"
    return figures


@contextmanager
def _log(folder: Path) -> Iterator[Say]:
    """Append what is said to the cell's log."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a", encoding="utf-8") as stream:

        def say(line: str) -> None:
            stream.write(line + "\n")
            stream.flush()

        yield say
