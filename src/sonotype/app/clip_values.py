"""A sound of a class as JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sonotype.app.clip_files import ClipFile
from sonotype.app.findings import Findings

EPOCH, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


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
        "added": _time(clip.added),
        "findings": findings.of_clip(clip, learnt),
    }


def _time(seconds: float) -> str:
    """A time since 1970 in ISO format; file systems may have times that no calendar has."""
    seconds = min(max(seconds, 0.0), (LATEST - EPOCH).total_seconds())
    return (EPOCH + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
