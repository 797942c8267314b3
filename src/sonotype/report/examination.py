"""The doctor's findings about the data of a run, kept in the run folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sonotype.core.errors import SonotypeError
from sonotype.core.io import write_text
from sonotype.doctor.examine import examine
from sonotype.doctor.findings import SEVERITIES, Finding, Place
from sonotype.doctor.report import json_report
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
    """

    sounds: int
    findings: tuple[Finding, ...]
    failed: str = ""

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
        return known
    if not look:
        return None
    if record.options is None:  # how to read the data is not known
        return Examination(0, (), record.options_problem)
    try:
        found = examine(record.data, record.options.source, near=False, progress=progress)
    except (SonotypeError, OSError) as error:
        return Examination(0, (), str(error))
    write_text(path, json_report(found) + "\n")
    return Examination(len(found.measured), found.findings)


def _read(path: Path) -> Examination | None:
    """The findings in a file; ``None`` if it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        findings = tuple(
            Finding(**{**one, "places": tuple(Place(**place) for place in one["places"])})
            for one in value["findings"]
        )
        return Examination(int(value["sounds"]), findings)
    except (OSError, ValueError, KeyError, TypeError):
        return None
