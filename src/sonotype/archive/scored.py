"""From the scores of all segments of a recording to its events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sonotype.archive.ledger import ArchiveLedger
from sonotype.archive.models import DetectTask
from sonotype.archive.parts import STEM, DamagedPartError, folder_of, write_part
from sonotype.archive.schemas import event_table, require_pyarrow, score_blocks
from sonotype.archive.tasks import Row
from sonotype.core.detections import DetectedEvent, DetectedRecording, ScoreBlock
from sonotype.core.errors import SonotypeError
from sonotype.detect.detector import within
from sonotype.detect.event_finder import EventFinder

EVENTS, SECONDS = 500, 300.0
"""Most events in a row whose frequencies are measured, and the most time from first to last."""
NEAR = 40.0
"""Seconds: earlier and later events may be in the background of an event."""


def finish_scored(folder: Path, ledger: ArchiveLedger, task: DetectTask, path: str) -> None:
    """Find the events of a recording, and write them, or plan rows for their frequencies.

    Scores after a segment that could not be read are left out.

    Args:
        folder: of the archive.
        ledger: has the scores of all segments.
        task: with the detector.
        path: of the recording.

    Raises:
        SonotypeError: a file of scores is damaged.
    """
    partition, segments = ledger.segments(path)
    parts = ledger.parts_of(path)
    readable = next((number for number, error in segments if error), len(segments))
    try:
        events = _events(task, _blocks(folder, parts, readable))
    except DamagedPartError as error:
        (folder / str(error)).unlink(missing_ok=True)
        raise SonotypeError(
            f"--out {folder}: {error} was damaged and is removed; start the same command again: "
            f"it detects the events of {path} again"
        ) from error
    found = DetectedRecording(Path(path), 0.0, tuple(events), task.detector.highest)
    rows: list[Row] = []
    written: dict[str, list[str]] = {}
    if events and task.detector.frequencies:
        rows = list(frequency_rows(path, ledger.size_of(path), events))
    elif events:
        target = folder_of(partition), STEM
        written[write_part(folder, target, [event_table(path, found)])] = [path]
    ledger.replace_scores(path, partition, rows, written)
    for name in parts:
        (folder / name).unlink(missing_ok=True)


def _blocks(folder: Path, parts: Sequence[str], readable: int) -> Iterator[ScoreBlock]:
    """The scores in order, up to those of the first segment with an error.

    Raises:
        DamagedPartError: a file cannot be read; the message is its name.
    """
    arrow = require_pyarrow()
    for name in sorted(parts, key=lambda name: name.rpartition("/")[2]):
        try:
            if int(name.rpartition("/")[2].partition("-")[0]) > readable:
                return
            with arrow.parquet.ParquetFile(folder / name) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group)
                    table.validate(full=True)
                    yield from score_blocks(table)
        except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
            raise DamagedPartError(name) from error


def _events(task: DetectTask, blocks: Iterator[ScoreBlock]) -> list[DetectedEvent]:
    """As :meth:`sonotype.detect.detector.Detector.detect`."""
    detector = task.detector
    finder, events, end = EventFinder(detector.classes, detector.events), [], 0.0
    for block in blocks:
        end = float(block.times[-1])
        events += finder.add(block)
    events += within(finder.finish(), end)
    return within(sorted(events, key=lambda one: (one.start, one.end, one.label)), end)


def frequency_rows(path: str, size: int, events: Sequence[DetectedEvent]) -> Iterator[Row]:
    """Rows that measure the frequencies of some events each, with their neighbours."""
    first = 0
    for number in range(len(events)):
        end = first
        latest = events[first].start + SECONDS
        while end < len(events) and end - first < EVENTS and events[end].start <= latest:
            end += 1
        low = events[first].start - NEAR
        high = max(one.end for one in events[first:end]) + NEAR
        near = [
            index
            for index, one in enumerate(events)
            if first <= index < end or (one.end > low and one.start < high)
        ]
        chosen = [replace(events[index], low=None, high=None) for index in near]
        begin = near.index(first)
        yield Row(
            path,
            number,
            size,
            kind="frequencies",
            events=tuple((one.start, one.end, one.label, one.score) for one in chosen),
            wanted=(begin, begin + end - first),
        )
        first = end
        if first == len(events):
            return
