"""Which clips come from one recording, so that a split never parts them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sonotype.core.errors import DataIssue, OptionsError
from sonotype.data.records import ClipRecord


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a group pattern; an ``OptionsError`` says where it is wrong."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise OptionsError(
            f"--group-pattern {pattern!r} is not a regular expression: {error}"
        ) from error


def group_of(name: str, pattern: re.Pattern[str]) -> str | None:
    """The group in a file name: the first capture group, or the whole match without one.

    ``None`` where the pattern is not found, or what it captures is empty.
    """
    match = pattern.search(name)
    if match is None:
        return None
    return match.group(1 if pattern.groups else 0) or None


def assign_groups(
    rows: Sequence[ClipRecord], pattern: str | None
) -> tuple[tuple[ClipRecord, ...], tuple[DataIssue, ...]]:
    """Give each row the group that the pattern finds in its file name.

    Without a pattern the rows stay as they are. A name that does not match is a fault: taken as a
    group of its own, it could be the rest of a recording that lies on the other side of a split.

    Raises:
        OptionsError: the pattern is no regular expression.
    """
    if pattern is None:
        return tuple(rows), ()
    compiled = compile_pattern(pattern)
    assigned: list[ClipRecord] = []
    issues: list[DataIssue] = []
    for row in rows:
        group = group_of(row.path.name, compiled)
        if group is None:
            issues.append(row.issue(f"the name does not match --group-pattern {pattern!r}"))
        # With a group of some kind the clip is not reported a second time for having none.
        assigned.append(replace(row, group=group or row.path.name))
    return tuple(assigned), tuple(issues)


def stand_alone(path: Path, root: Path) -> str:
    """The group of a clip of which nothing better is known: its own path, relative to the root."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
