"""The doctor's findings about the data of a run, kept in the run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sonotype.core.errors import SonotypeError
from sonotype.core.field_types import checked
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text, json_value, read_json
from sonotype.doctor.examine import examine
from sonotype.doctor.findings import SEVERITIES, Finding, Place
from sonotype.doctor.report import json_report
from sonotype.doctor.sound_set import SoundSet, open_leniently
from sonotype.report.run_record import RunRecord

FINDINGS = "doctor.json"
"""In the run folder."""


@dataclass(frozen=True)
class Examination:
    """What the doctor found.

    Attributes:
        sounds: number of examined sounds.
        findings: the most severe first.
        failed: why the data could not be examined; empty if they were.
        date: of the examination; empty if not known.
        state: of the data that were examined, see :func:`state_of`; empty if not known.
        changed: whether the data have changed since.
    """

    sounds: int
    findings: tuple[Finding, ...]
    failed: str = ""
    date: str = ""
    state: str = ""
    changed: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings by severity, without those that have none."""
        found = {
            severity: sum(one.severity == severity for one in self.findings)
            for severity in SEVERITIES
        }
        return {severity: number for severity, number in found.items() if number}


def examination_of(
    record: RunRecord, *, look: bool, again: bool = False, progress: bool = False
) -> Examination | None:
    """The cached findings; without them, those of an examination without near copies.

    Cached findings are not used where the data have changed. A run folder that cannot be written
    into keeps no findings.

    Args:
        record: of the run.
        look: whether the data may be examined; this takes about a second for 100 clips.
        again: examine the data in any case.
        progress: draw a bar.

    Returns:
        ``None`` if there are no cached findings, and the data may not be examined.
    """
    path = record.folder / FINDINGS
    if not again and (known := _read(path)) is not None:
        known = replace(known, changed=_changed(record, known))
        if not (known.changed and look):
            return known
    if not look:
        return None
    if record.options is None:  # how to read the data is not known
        return Examination(0, (), record.options_problem)
    try:
        found = examine(record.data, record.options.source, near=False, progress=progress)
    except (SonotypeError, OSError) as error:
        return Examination(0, (), str(error))
    date = f"{datetime.now().astimezone():%Y-%m-%d %H:%M}"
    state = state_of(found.sounds)
    value = json_value(json_report(found)) | {"date": date, "state": state}
    with suppress(SonotypeError, OSError):
        write_text(path, json_text(value, indent=2, ensure_ascii=False) + "\n")
    return Examination(len(found.measured), found.findings, date=date, state=state)


def state_of(sounds: SoundSet) -> str:
    """A digest of all sounds with their labels, sizes and times of change, and of all issues."""
    digest = hashlib.sha256()
    for item in sounds.items:
        with suppress(OSError):
            status = item.path.stat()
            facts = (sounds.name(item.path), status.st_size, status.st_mtime_ns)
            digest.update(repr((*facts, dict(item.labels), item.group, item.fold)).encode())
    for path in sounds.passed_over:
        digest.update(repr(sounds.name(path)).encode())
    for issue in sounds.issues:
        digest.update(repr((sounds.name(issue.file), issue.line, issue.cause)).encode())
    return digest.hexdigest()


def _changed(record: RunRecord, known: Examination) -> bool:
    """Whether the data differ from those that were examined; not where they cannot be read."""
    if record.options is None:
        return False
    try:
        return state_of(open_leniently(record.data, record.options.source)) != known.state
    except (SonotypeError, OSError):
        return False


def _place(values: Mapping[str, Any]) -> Place:
    return checked(Place(**values))


def _read(path: Path) -> Examination | None:
    """The findings in a file; ``None`` if it is missing or damaged."""
    try:
        value = read_json(path)
        findings = tuple(
            checked(Finding(**{**one, "places": tuple(_place(place) for place in one["places"])}))
            for one in value["findings"]
        )
        date, state = (str(value.get(name, "")) for name in ("date", "state"))
        return Examination(int(value["sounds"]), findings, date=date, state=state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
