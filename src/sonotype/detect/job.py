"""Detect events in many recordings, into a folder; a job that stops at any moment can go on.

For each recording: its label files, picture and clips are written atomically; then its result is
stored in the ledger in one transaction; then its rows are added to the tables. What a killed job
left unfinished is done again. The tables are written anew from the ledger at the start and at the
end, so they have the rows of each recording once, in the order of the inputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from sonotype.audio.stream import seconds_for_progress
from sonotype.core.detections import DetectedRecording, ScoreBlock
from sonotype.core.progress import measure
from sonotype.detect.job_folder import LEDGER, locked, output_errors
from sonotype.detect.ledger import Ledger, iterate
from sonotype.detect.ledger_entry import Outputs, Stamp
from sonotype.detect.output_names import Recording
from sonotype.detect.output_options import OutputOptions
from sonotype.detect.recording_writer import RecordingWriter
from sonotype.detect.tables import (
    GROWING,
    TABLE_NAMES,
    GrowingTables,
    growing_tables,
    require_parquet,
    write_table,
)

SHOWN_FAILURES = 3

OnBlock = Callable[[ScoreBlock], None]


class RecordingDetector(Protocol):
    """Detects events in recordings.

    Attributes:
        classes: all labels of events.
        digest: of all that its results depend on, except the recording.
    """

    classes: tuple[str, ...]
    digest: str

    def detect(self, path: Path, *, on_block: OnBlock | None = None) -> DetectedRecording:
        """Detect the events; a recording that cannot be read has an error in its result."""


class ScoreTimeline(Protocol):
    """A picture of the scores of a recording over time."""

    def add(self, block: ScoreBlock) -> None:
        """Add the next block of scores."""

    def save(self, path: Path, recording: DetectedRecording) -> None:
        """Write the picture as PNG."""


class ScoreExplanation(Protocol):
    """Collects the scores of all recordings that are read."""

    def add(self, path: Path, block: ScoreBlock) -> None:
        """Add the next block of scores of a recording."""

    def finish_recording(self, recording: DetectedRecording) -> None:
        """Add the events of a recording, after its last block."""


NewTimeline = Callable[[], ScoreTimeline]
"""Makes a picture without scores."""


class Work(Enum):
    """What a recording needs."""

    NOTHING = "its result and its files are complete"
    FILES = "its result is stored; files are missing"
    DETECTION = "it is new, changed, or was detected with another model or other options"
    EXPLANATION = "its result stays; its scores are to be explained"


@dataclass
class JobSummary:
    """What a job found.

    Attributes:
        recordings: number of inputs.
        seconds: of sound that was read.
        detected: number of recordings that were read by this job.
        events: number of events by class.
        failures: number of recordings that could not be read completely.
        first_failures: path and cause of some of them.
        others: number of recordings in the ledger that are no inputs.
    """

    recordings: int = 0
    seconds: float = 0.0
    detected: int = 0
    events: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    first_failures: list[tuple[Path, str]] = field(default_factory=list)
    others: int = 0

    def add(self, recording: DetectedRecording) -> None:
        """Count the result of a recording."""
        self.recordings += 1
        self.seconds += recording.seconds
        self.events.update(event.label for event in recording.events)
        if recording.error:
            self.failures += 1
            if len(self.first_failures) < SHOWN_FAILURES:
                self.first_failures.append((recording.path, recording.error))


def detect_recordings(
    detector: RecordingDetector,
    recordings: Sequence[Recording],
    folder: Path,
    options: OutputOptions,
    *,
    new_timeline: NewTimeline,
    explanation: ScoreExplanation | None = None,
) -> JobSummary:
    """Detect the events of recordings, and write them into a folder with a ledger.

    Recordings that the ledger has are not read again, unless the file, the detector or its options
    changed. An explanation needs the scores, which are not stored: if no recording is left to read,
    all are read again for it, and their results and files stay.

    Args:
        detector: reads one recording after the other.
        recordings: in the order of the tables.
        folder: new, empty, or of an earlier job.
        options: the files to write.
        new_timeline: makes a picture without scores.
        explanation: is given the scores and events of the recordings that are read.

    Raises:
        OptionsError: invalid options; the folder has other files or cannot be written.
        SonotypeError: another job uses the folder, its ledger is damaged, the disk is full.
    """
    if "parquet" in options.all_formats():
        require_parquet()
    classes = {detector.digest: detector.classes}
    with output_errors(folder), locked(folder), Ledger(folder / LEDGER, classes) as ledger:
        return _Job(detector, folder, options, ledger, new_timeline, explanation).run(recordings)


class _Job:
    """A job with an open ledger."""

    def __init__(
        self,
        detector: RecordingDetector,
        folder: Path,
        options: OutputOptions,
        ledger: Ledger,
        new_timeline: NewTimeline,
        explanation: ScoreExplanation | None,
    ) -> None:
        self._detector, self._folder, self._options = detector, folder, options
        self._ledger, self._new_timeline, self._explanation = ledger, new_timeline, explanation
        self._writer = RecordingWriter(folder, ledger, detector.classes)

    def run(self, recordings: Sequence[Recording]) -> JobSummary:
        """Do what the recordings need; return what was found in all of them."""
        works = [(recording, self._work(recording)) for recording in recordings]
        todo = [(recording, work) for recording, work in works if work != Work.NOTHING]
        stored = [recording.path for recording, work in works if work != Work.DETECTION]
        if self._explanation is not None and len(stored) == len(works):
            todo += [(one, Work.EXPLANATION) for one in recordings if self._can_be_read(one)]
        formats = self._options.table_formats()
        self._ledger.own_tables(TABLE_NAMES[name] for name in formats)
        if todo:
            for name in formats:
                if name in GROWING:
                    self._write_table(name, stored)
            with growing_tables(self._folder, formats) as tables:
                self._process(todo, tables)
        paths = [recording.path for recording in recordings]
        owned = self._ledger.files(None)  # of earlier starts, too
        for name, file in TABLE_NAMES.items():
            if file in owned:
                self._write_table(name, paths)
        summary = JobSummary(detected=len(paths) - len(stored), others=self._other_results(paths))
        for found in iterate(self._ledger, paths):
            summary.add(found)
        return summary

    def _other_results(self, paths: Sequence[Path]) -> int:
        """The number of results that are not of these recordings; with ``prune`` remove them."""
        others = self._ledger.others(paths)
        if self._options.prune:
            for path in others:
                self._writer.remove(self._ledger.files(path))
                self._ledger.remove(path)
        return len(others)

    def _write_table(self, name: str, paths: Sequence[Path]) -> None:
        write_table(self._folder / TABLE_NAMES[name], name, iterate(self._ledger, paths))

    def _work(self, recording: Recording) -> Work:
        """What a recording needs."""
        entry = self._ledger.entry(recording.path)
        stamp = Stamp.of(recording.path, self._detector.digest)
        if entry is not None and stamp.size < 0 and not entry.failed:
            return Work.NOTHING  # the recording is not there now: its result stays
        if entry is None or not entry.stamp.still_holds(stamp):
            return Work.DETECTION
        if entry.failed and self._options.retry:
            return Work.DETECTION
        wanted = self._wanted(recording)
        if wanted.picture and not (entry.outputs and entry.outputs.picture):
            return Work.DETECTION
        if entry.outputs is None or not entry.complete or not entry.outputs.covers(wanted):
            return Work.FILES
        return Work.FILES if self._writer.labels_are_missing(recording.path) else Work.NOTHING

    def _can_be_read(self, recording: Recording) -> bool:
        """Whether a recording is there, or is known to be unreadable."""
        return bool(recording.cause) or Stamp.of(recording.path, "").size >= 0

    def _wanted(self, recording: Recording) -> Outputs:
        return Outputs(
            recording.name,
            recording.clip_name,
            self._options.file_formats(),
            self._options.margin if self._options.clips else None,
            self._options.picture,
        )

    def _process(self, todo: Sequence[tuple[Recording, Work]], tables: GrowingTables) -> None:
        """Complete recordings one after the other, with a progress bar in seconds of sound."""
        pending = [recording.path for recording, work in todo if work != Work.FILES]
        seconds = {path: seconds_for_progress(path) for path in pending}
        done = 0.0
        with measure("detecting events", sum(seconds.values())) as advance:
            for recording, work in todo:
                entry = self._ledger.entry(recording.path)
                if work == Work.FILES and entry is not None:
                    self._writer.write_missing(recording.path, entry, self._wanted(recording))
                    continue
                if work == Work.EXPLANATION:
                    self._read(recording, advance, done)
                else:
                    tables.add(self._detect(recording, advance, done))
                done += seconds[recording.path]
                advance(done)

    def _detect(
        self, recording: Recording, advance: Callable[[float], None], done: float
    ) -> DetectedRecording:
        """Detect the events of a recording, write its files and store the result."""
        stamp = Stamp.of(recording.path, self._detector.digest)
        timelines: list[ScoreTimeline] = []

        def draw_block(block: ScoreBlock) -> None:
            if not timelines:
                timelines.append(self._new_timeline())
            timelines[0].add(block)

        found = self._read(recording, advance, done, draw_block if self._options.picture else None)
        draw = timelines[0].save if timelines else None
        return self._writer.write(found, stamp, self._wanted(recording), draw=draw)

    def _read(
        self,
        recording: Recording,
        advance: Callable[[float], None],
        done: float,
        draw_block: OnBlock | None = None,
    ) -> DetectedRecording:
        """Detect the events of a recording, and explain it."""

        def on_block(block: ScoreBlock) -> None:
            if draw_block is not None:
                draw_block(block)
            if self._explanation is not None:
                self._explanation.add(recording.path, block)
            advance(done + float(block.times[-1]))

        if recording.cause:
            found = DetectedRecording(recording.path, 0.0, (), 0.0, recording.cause)
        else:
            found = self._detector.detect(recording.path, on_block=on_block)
        if self._explanation is not None:
            self._explanation.finish_recording(found)
        return found
