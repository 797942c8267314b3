"""Everything that the page shows of a project at once, as JSON."""

from __future__ import annotations

import shlex
from typing import Any

from sonotype.app.advice import advice_of
from sonotype.app.clip_files import ClipFile
from sonotype.app.context import AppContext
from sonotype.app.needs import backbone_values
from sonotype.app.project import Project
from sonotype.app.runs import run_values
from sonotype.core.json_text import json_text
from sonotype.data.records import is_negative

Values = dict[str, Any]


def snapshot(context: AppContext) -> Values:
    """The values of ``GET /api/state``."""
    return {"version": context.state.version, **_values(context)}


def snapshot_text(context: AppContext) -> tuple[str, str]:
    """The snapshot as JSON in one line, and the same without the version, for comparisons."""
    values = _values(context)
    plain = json_text(values, ensure_ascii=False)
    return json_text({"version": context.state.version, **values}, ensure_ascii=False), plain


def class_values(label: str, clips: list[ClipFile]) -> Values:
    """Name, number and seconds of the clips of a class, and whether it stands for no class."""
    seconds = sum(clip.seconds or 0.0 for clip in clips)
    return {
        "name": label,
        "clips": len(clips),
        "seconds": round(seconds, 3),
        "negative": is_negative(label),
    }


def _values(context: AppContext) -> Values:
    project, training = context.project, context.training.values()
    # A run has its result before its report, while its training still runs.
    unfinished = training["run"] if training and training["state"] == "running" else None
    needs = advice_of(project)
    return {
        "project": {
            "folder": str(project.folder),
            "name": project.folder.name,
            "classes": [class_values(label, clips) for label, clips in project.all_clips().items()],
            "backbone": project.backbone,
            "backbones": backbone_values(),
            "advice": needs.advice,
            "ready": needs.ready,
            "command": _command(project),
        },
        "training": training,
        "runs": [run for run in run_values(project) if run["id"] != unfinished],
        "models": context.models.values(),
    }


def _command(project: Project) -> str:
    """The command line that trains the same model."""
    words = ["sonotype", "train", str(project.folder), "--backbone", project.backbone]
    return shlex.join([*words, "--out", "run"])
