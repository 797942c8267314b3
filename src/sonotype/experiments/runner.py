"""One cell of a study: a training and its test in a run folder, with its log and its time."""

from __future__ import annotations

import contextlib
import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sonotype.core.errors import OptionsError, SonotypeError, StoppedError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.data.manifest import Manifest
from sonotype.data.splits.split import Split
from sonotype.data.splits.split_file import SPLIT, rows_of, same_split, split_table
from sonotype.experiments.failed_runs import described
from sonotype.experiments.pipeline import run_split
from sonotype.experiments.run_folder import (
    CONFIG,
    SCORES,
    changed_files,
    comparable,
    made_from,
    options_of,
)
from sonotype.experiments.run_options import RunOptions
from sonotype.training.callbacks import OnMessage
from sonotype.training.random_state import kept_random_state

LOG, TIME, FAILURE = "log.txt", "time.json", "failure.json"
STOPPED = "interrupted"


@kept_random_state()
def run_planned(
    manifest: Manifest,
    parts: Split,
    folder: Path,
    options: RunOptions,
    *,
    data: str | Path,
    fingerprint: str,
    progress: bool = False,
    on_message: OnMessage = lambda _: None,
) -> str:
    """Train and test, or go on with it; what went wrong, in a few words, or nothing.

    Model, scores, answers, config and log stay; the checkpoints go.
    """
    start = time.monotonic()
    try:
        with _log(folder, on_message) as on_message:
            result = run_split(
                manifest,
                parts,
                folder,
                options,
                data=data,
                fingerprint=fingerprint,
                progress=progress,
                on_message=on_message,
            )
    except (StoppedError, KeyboardInterrupt):
        return STOPPED
    except SonotypeError as error:
        return str(error)
    except Exception as error:  # one cell's; the others go on
        with contextlib.suppress(OSError), (folder / LOG).open("a", encoding="utf-8") as stream:
            stream.write(traceback.format_exc())
        return described(error)
    if result.interrupted:
        return STOPPED
    write_text(folder / TIME, json_text({"seconds": time.monotonic() - start}) + "\n")
    for checkpoint in (folder / "training").glob("*.ckpt"):
        checkpoint.unlink()
    return ""


def finished(folder: Path) -> bool:
    """Whether the cell has all that it will have: scores, where anything is tested."""
    return (folder / SCORES).exists() or (folder / TIME).exists()


def note_failure(folder: Path, failure: str) -> None:
    """Keep what went wrong with a cell, or forget it."""
    if failure:
        write_text(folder / FAILURE, json_text({"error": failure}) + "\n")
    else:
        (folder / FAILURE).unlink(missing_ok=True)


def failure_of(folder: Path) -> str:
    """What went wrong when a cell was run, in one line; nothing where it did not fail."""
    if finished(folder) or not (folder / FAILURE).exists():
        return ""
    text = str(json.loads((folder / FAILURE).read_text(encoding="utf-8"))["error"])
    return next(iter(text.splitlines()), "")


def seconds_of(folder: Path) -> float:
    """How long a finished cell took; of one that was stopped, its last sitting."""
    try:
        return float(json.loads((folder / TIME).read_text(encoding="utf-8"))["seconds"])
    except FileNotFoundError:  # killed between its scores and this
        return 0.0


def check_same_config(
    folder: Path, options: RunOptions, fingerprint: str, manifest: Manifest, parts: Split
) -> None:
    """Raise an ``OptionsError`` where the cell was begun with other options, data or parts."""
    path = folder / CONFIG
    if not path.exists():
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    before, after = _comparable(options_of(found)), _comparable(options)
    names = sorted(name for name in after if before[name] != after[name])
    names += changed_files(found, options, made_from(options))
    if found["fingerprint"] != fingerprint:
        names.append("data")
    # The same sounds under other folds or groups are dealt otherwise.
    split = folder / SPLIT
    if (
        not names
        and split.exists()
        and not same_split(split, rows_of(split_table(manifest, parts)))
    ):
        names.append("folds or groups of the data")
    if names:
        raise OptionsError(
            f"{folder} was run with other {', '.join(names)}; remove it to run the cell again, or "
            "name another --out"
        )


def _comparable(options: RunOptions) -> dict[str, Any]:
    """Options by name; of teachers, which cell of the study they are, wherever that lies.

    What the cache may hold changes no result.
    """
    values = comparable(options.flat())
    return {name: value for name, value in values.items() if name != "cache_gb"}


def figures_of(folder: Path) -> str:
    """The two headline figures of a finished cell, for a line of progress."""
    scores = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    figures = f"category F1 {scores['category']['f1']['value']:.3f}"
    if scores["event"] is not None:
        figures += f"  event accuracy {scores['event']['accuracy']['value']:.3f}"
    return figures


@contextmanager
def _log(folder: Path, also: OnMessage) -> Iterator[OnMessage]:
    """Append what is said to the cell's log; it is said elsewhere as well."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a", encoding="utf-8") as stream:

        def on_message(line: str) -> None:
            stream.write(line + "\n")
            stream.flush()
            also(line)

        yield on_message
