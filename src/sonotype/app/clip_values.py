"""A sound of a class as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sonotype.app.clip_files import ClipFile
from sonotype.app.findings import Findings


def clip_values(clip: ClipFile, findings: Findings, learnt: float | None = None) -> dict[str, Any]:
    """The JSON values of a clip; a sound that is not long is read if it was not measured yet.

    Args:
        clip: the sound.
        findings: of the project.
        learnt: ``Project.learnt_seconds``, if it is known.
    """
    return {
        "class": clip.label,
        "file": clip.file,
        "seconds": clip.seconds,
        "added": datetime.fromtimestamp(clip.added, UTC).isoformat(timespec="milliseconds"),
        "findings": findings.of_clip(clip, learnt),
    }
