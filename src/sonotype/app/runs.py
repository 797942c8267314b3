"""The finished runs of a project: what they are, their files, and one compared with another."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonotype.app.project import Project
from sonotype.app.warm_up import IMPORTING
from sonotype.app.worker_process import answers, end_worker, give_job, start_worker
from sonotype.core.errors import MissingExtraError, SonotypeError
from sonotype.core.json_text import read_json
from sonotype.core.text import listed
from sonotype.core.types import LEVELS
from sonotype.data.splits.split_file import SPLIT, read_split
from sonotype.experiments.run_files import CONFIG, MODEL, REPORT, SCORES, TIME, finished_at
from sonotype.serve.problems import ProblemError

ONNX, EXPORT_LOG = "model.onnx", "export.log"
MOST_RECORDINGS = 10**9

_exporting = threading.Lock()
_known: dict[Path, tuple[tuple[int, int], Run]] = {}


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        id: name of its folder, a number.
        folder: its folder.
        created: when the training ended, in the format of ISO 8601.
        clips: number of training clips, those of no class included.
        classes: by name of each class its number of clips.
        backbone: of the model.
        accuracy: share of the clips that models of other folds get right, with ``value``, ``low``
            and ``high``; ``None`` if no clip could be scored.
        note: what limits the run; empty if nothing does.
    """

    id: str
    folder: Path
    created: str
    clips: int
    classes: Mapping[str, int]
    backbone: str
    accuracy: Mapping[str, float | None] | None
    note: str

    def values(self) -> dict[str, Any]:
        """The JSON values."""
        return {
            "id": self.id,
            "created": self.created,
            "clips": self.clips,
            "classes": len(self.classes),
            "backbone": self.backbone,
            "accuracy": None if self.accuracy is None else dict(self.accuracy),
            "note": self.note,
            "report": (self.folder / REPORT).is_file(),
        }


def run_values(project: Project) -> list[dict[str, Any]]:
    """The JSON values of the finished runs, the newest first."""
    return [run.values() for run in finished_runs(project)]


def finished_runs(project: Project) -> list[Run]:
    """The finished runs, the newest first; folders of other things are left out."""
    try:
        names = [path.name for path in project.runs.iterdir()]
    except OSError:
        return []
    for folder in [folder for folder in list(_known) if folder.parent == project.runs]:
        if folder.name not in names:
            _known.pop(folder, None)
    numbered = sorted((name for name in names if _is_id(name)), key=int, reverse=True)
    return [run for name in numbered if (run := _read(project.runs / name)) is not None]


def run_of(project: Project, run_id: str) -> Run:
    """A finished run.

    Raises:
        ProblemError: there is none of this name.
    """
    run = _read(project.runs / run_id) if _is_id(run_id) else None
    if run is None:
        raise ProblemError("gone", f"There is no finished run {run_id}.")
    return run


def file_of(run: Run, name: str) -> Path:
    """A file of a run.

    Raises:
        ProblemError: it is missing.
    """
    path = run.folder / name
    if not path.is_file():
        detail = f"Run {run.id} has no {name}: train again, or write it on the command line."
        raise ProblemError("gone", detail)
    return path


def onnx_of(run: Run) -> Path:
    """The ONNX file of a run, which is exported at the first call in a process of its own.

    Raises:
        ProblemError: the export failed, or needs a package that is not installed.
    """
    path = run.folder / ONNX
    with _exporting:
        if path.is_file():
            return path
        try:
            with IMPORTING:
                from sonotype.export.graph import require_onnx

            require_onnx()
        except MissingExtraError as error:
            raise ProblemError(
                "invalid-parameter", f"This download is not possible: {error}"
            ) from None
        order = {"kind": "export", "model": str(file_of(run, MODEL)), "out": str(path)}
        process = None
        try:
            process = start_worker()
            give_job(process, order | {"log": str(run.folder.parent.parent / EXPORT_LOG)})
            *_, last = answers(process)
        except OSError as error:
            last = {"failed": str(error)}
        finally:
            if process is not None:
                end_worker(process)
    if "failed" in last:
        raise ProblemError("not-possible", f"The export failed: {last['failed']}")
    return path


def _is_id(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _read(folder: Path) -> Run | None:
    """The run in a folder; ``None`` if it is not finished. Files are read again if they changed."""
    try:
        stamps = (folder / TIME).stat().st_mtime_ns, (folder / MODEL).stat().st_mtime_ns
    except OSError:
        return None
    known = _known.get(folder)  # another thread may drop it
    if known is not None and known[0] == stamps:
        return known[1]
    try:
        run = _read_files(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SonotypeError) as error:
        cause = " ".join(str(error).split())
        run = Run(folder.name, folder, "", 0, {}, "", None, f"The run cannot be read: {cause}")
    _known[folder] = stamps, run
    return run


def _read_files(folder: Path) -> Run:
    options = read_json(folder / CONFIG)["options"]
    scores: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):  # a run without clips to score
        scores = read_json(folder / SCORES)
    heads = scores.get("heads", {})
    rows = read_split(folder / SPLIT)
    classes: dict[str, int] = {}
    for row in rows:
        if row[LEVELS[0]]:
            classes[row[LEVELS[0]]] = classes.get(row[LEVELS[0]], 0) + 1
    accuracy = heads[LEVELS[0]]["accuracy"] if LEVELS[0] in heads else None
    created = finished_at(folder)
    return Run(
        id=folder.name,
        folder=folder,
        created="" if created is None else created.isoformat(),
        clips=len(rows),
        classes=classes,
        backbone=str(options["backbone"]),
        accuracy=None if accuracy is None else accuracy_of(accuracy, heads[LEVELS[0]]["groups"]),
        note=_note(classes, scored=accuracy is not None),
    )


def accuracy_of(interval: Mapping[str, float], recordings: int) -> dict[str, float]:
    """The accuracy with the wider of two intervals: the bootstrap's, and the exact binomial one.

    Where all of a few sounds are right, the bootstrap's interval is a point.

    Args:
        interval: ``value``, ``low`` and ``high`` of the bootstrap.
        recordings: number of the independent samples.

    Raises:
        ValueError, TypeError, KeyError: the values are damaged.
    """
    with IMPORTING:
        from scipy.special import betaincinv

    shares = value, below, above = tuple(interval[name] for name in ("value", "low", "high"))
    if type(recordings) is not int or not 0 <= recordings <= MOST_RECORDINGS:
        raise ValueError("the number of groups in the scores is damaged")
    if not all(isinstance(one, int | float) and 0 <= one <= 1 for one in shares):
        raise ValueError("the accuracy in the scores is no share")
    right = round(value * recordings)
    wrong, tail = recordings - right, 0.025  # of Clopper and Pearson
    lowest = betaincinv(right, wrong + 1, tail) if right else 0.0
    highest = betaincinv(right + 1, wrong, 1 - tail) if wrong else 1.0
    low, high = min(below, lowest), max(above, highest)
    return {"value": value, "low": float(low), "high": float(high)}


def _note(classes: Mapping[str, int], *, scored: bool) -> str:
    if not scored:
        return "Not scored: no class has a second sound. Add sounds, and train again."
    single = sorted(name for name, count in classes.items() if count == 1)
    if not single:
        return ""
    them = "it is" if len(single) == 1 else "they are"
    return f"Not scored, with one sound only: {listed(single, 5)}; {them} learnt."
