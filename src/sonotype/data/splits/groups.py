"""The recording of each clip, from a pattern over file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sonotype.core.errors import DataIssue, OptionsError
from sonotype.data.records import ClipRecord


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a group pattern; an ``OptionsError`` names the error."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise OptionsError(
            f"--group-pattern {pattern!r} is not a regular expression: {error}"
        ) from error


def group_of(name: str, pattern: re.Pattern[str]) -> str | None:
    """The group in a file name: the first capture group, or the whole match without one.

    ``None`` if the pattern does not match, or captures nothing.
    """
    match = pattern.search(name)
    if match is None:
        return None
    return match.group(1 if pattern.groups else 0) or None


def assign_groups(
    records: Sequence[ClipRecord], pattern: str | None
) -> tuple[tuple[ClipRecord, ...], tuple[DataIssue, ...]]:
    """Set the group of each record to what the pattern finds in its file name.

    Without a pattern the records do not change. A name that does not match is an issue: as a group
    of its own, the clip could be in another subset than its recording.

    Raises:
        OptionsError: the pattern is no regular expression.
    """
    if pattern is None:
        return tuple(records), ()
    compiled = compile_pattern(pattern)
    assigned: list[ClipRecord] = []
    issues: list[DataIssue] = []
    for record in records:
        group = group_of(record.path.name, compiled)
        if group is None:
            issues.append(record.issue(f"the name does not match --group-pattern {pattern!r}"))
        # A placeholder group, so that the clip is not reported again for having none.
        assigned.append(replace(record, group=group or record.path.name))
    return tuple(assigned), tuple(issues)


CUT = re.compile(r"(.+)_\d+\.\d{3}-\d+\.\d{3}\.[^.]+")
"""The name of a part of a recording, as sonotype writes it: ``NAME_START-END.wav``."""


def recording_of_cut(path: Path) -> str:
    """The recording of a clip that sonotype cut out of it; empty for other clips."""
    found = CUT.fullmatch(path.name)
    return found[1] if found else ""


def stand_alone(path: Path, root: Path) -> str:
    """The group of a clip whose recording is not known: its own path, relative to the root."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
