"""Measure detected events: ``python studies/detection/detect.py FOLDER... --out RUNS``.

Each folder is one that ``compose.py`` wrote. A model learns from its training recordings; the
events in its test recordings come from windows, from frames with one threshold for all, and from
frames with the settings in the model file. Event-based F1 over all classes: an onset is right
within 0.5 s, an offset within 0.5 s or half of the length. Events at 5 dB and above count; other
detections that overlap a quieter event of their class are left out. Half of a detection in
background, or more, lies where there is no event; it is a false alarm if less than a tenth of it is
an event of its class, as for ``sonotype tune``. The others are short events with wide ends.

With ``--clips ESC-50`` other models learn from the clips of these classes in the folds that are not
tested, before and after ``sonotype tune`` fits their detection to recordings that it simulates from
the same clips.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sonotype.config import EventOptions
from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.event_matching import MICROSECONDS, covered, matched, merge, microseconds
from sonotype.core.text import align
from sonotype.data.readers.source import open_source
from sonotype.data.source_options import SourceOptions
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector, default_hop
from sonotype.detect.event_finder import find_events
from sonotype.detect.score_sources import joined
from sonotype.evaluation.event_counts import EventScoreOptions
from sonotype.evaluation.event_records import RecordingDetections
from sonotype.evaluation.psds import psds
from sonotype.evaluation.recordings import shown_scores
from sonotype.experiments.runner import train_or_resume
from sonotype.experiments.tune import tune
from sonotype.experiments.tune_report import report_text
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.load import load

LEAST_LEVEL = 5.0
COLLARS = EventScoreOptions(onset_collar=0.5, offset_collar=0.5, offset_collar_rate=0.5)
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
COLUMNS = (30, -6, -10, -7, -14, -9, -6)
HEADINGS = ("events from", "F1", "precision", "recall", "in background", "false/h", "PSDS1")


@dataclass(frozen=True)
class Counts:
    """Counts of some recordings."""

    right: int = 0
    detected: int = 0
    reference: int = 0
    outside: int = 0
    alarms: int = 0
    background: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        values = zip(vars(self).values(), vars(other).values(), strict=True)
        return Counts(*(one + two for one, two in values))

    @property
    def row(self) -> list[str]:
        """F1, precision, recall; detections in background and false alarms, an hour of it."""
        f1 = 2 * self.right / max(self.detected + self.reference, 1)
        precision, recall = self.right / max(self.detected, 1), self.right / self.reference
        hours = self.background / 3600
        rates = [f"{number / hours:.1f}" for number in (self.outside, self.alarms)]
        return [f"{f1:.3f}", f"{precision:.3f}", f"{recall:.3f}", *rates]


def count(
    detected: Sequence[tuple[float, float, str]],
    events: Sequence[tuple[Event, float]],
    seconds: float,
) -> Counts:
    """The counts of one recording; each event has its level in dB."""
    right = found = reference = outside = alarms = 0
    sounds = merge(microseconds([(event.start, event.end) for event, _ in events]))
    for label in sorted({event.label for event, _ in events} | {one[2] for one in detected}):
        own = [(event, level) for event, level in events if event.label == label]
        loud, quiet = (
            microseconds([(e.start, e.end) for e, level in own if (level >= LEAST_LEVEL) == wanted])
            for wanted in (True, False)
        )
        times = microseconds([one[:2] for one in detected if one[2] == label])
        pairs = matched(loud, times, COLLARS)
        left_out = min(int((covered(times, merge(quiet)) > 0).sum()), len(times) - pairs)
        right += pairs
        found += len(times) - left_out
        reference += len(loud)
        length = times[:, 1] - times[:, 0]
        quiet_ones = 2 * covered(times, sounds) < length
        every = merge(microseconds([(event.start, event.end) for event, _ in own]))
        outside += int(quiet_ones.sum())
        alarms += int((quiet_ones & (10 * covered(times, every) < length)).sum())
    quiet_seconds = seconds - float((sounds[:, 1] - sounds[:, 0]).sum()) / MICROSECONDS
    return Counts(right, found, reference, outside, alarms, quiet_seconds)


def levels_of(folder: Path) -> Mapping[str, list[tuple[Event, float]]]:
    """The events of each recording with their levels."""
    document = json.loads((folder / "truth.json").read_text())
    rate = document["sample_rate"]
    return {
        one["path"]: [
            (Event(e["onset"] / rate, e["offset"] / rate, e["label"]), e["level_db"])
            for e in one["events"]
        ]
        for one in document["recordings"]
    }


def detectors_of(run: Path) -> Mapping[str, Detector]:
    """The detectors to compare."""
    ensemble = Ensemble([load(run)])
    windows = DetectOptions(hop=default_hop(ensemble.audio_spec.seconds))
    found = {"windows, thresholds": Detector(ensemble, windows)}
    for threshold in THRESHOLDS:
        plain = Detector(ensemble, DetectOptions())
        one = EventOptions(method="threshold", threshold=threshold)
        plain.events = (one,) * len(plain.classes)
        found[f"frames, threshold {threshold}"] = plain
    found["frames, change points, tuned"] = Detector(ensemble, DetectOptions())
    return found


def detectors_of_clips(source: Path, folder: Path, run: Path) -> Mapping[str, Detector]:
    """The detectors of models of clips, and of those that were tuned."""
    fold = json.loads((folder / "test" / "truth.json").read_text())["test_fold"]
    events = [event for some in levels_of(folder / "test").values() for event, _ in some]
    classes = {event.label for event in events}
    table = run.with_suffix(".csv")
    run.parent.mkdir(parents=True, exist_ok=True)
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "category", "group", "fold"))
        for clip in open_source(source).clips:
            label = clip.label("event")
            if label in classes and clip.fold != fold:
                rows.writerow((clip.path.resolve(), label, clip.group, clip.fold))
    train_or_resume(table, run, progress=True, on_message=print)
    tuned = run / "tuned.safetensors"
    if not tuned.exists():
        found = tune(run, table, tuned, progress=True)
        print(report_text(found.report, found.facts, found.notes))
    return {
        f"clips, {name}": Detector(Ensemble([load(path)]), DetectOptions())
        for name, path in (("windows", run), ("frames, tuned", tuned))
    }


def measure(
    detector: Detector,
    recordings: Sequence[AnnotatedRecording],
    truth: Mapping[str, list[tuple[Event, float]]],
) -> tuple[Counts, list[RecordingDetections]]:
    """Counts of all recordings, and what PSDS needs."""
    total, tracks = Counts(), []
    for one in recordings:
        block = joined(list(detector.score_blocks(one.path)))
        events = find_events(block.times, block.scores, detector.classes, detector.events)
        found = [(event.start, event.end, event.label) for event in events]
        total += count(found, truth[one.path.name], one.seconds)
        shown = shown_scores(block, detector.events)
        tracks.append(
            RecordingDetections(
                name=str(one.path),
                group=str(one.path),
                spans=one.spans,
                reference=one.events,
                detected=(),
                times=shown.times,
                scores=shown.scores,
            )
        )
    return total, tracks


def main() -> None:
    """Train, detect, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trainings")
    parser.add_argument("--clips", type=Path, metavar="ESC-50", help="also models of clips")
    parser.add_argument("--psds", action="store_true", help="also PSDS1; needs sed_scores_eval")
    arguments = parser.parse_args()
    totals: dict[str, Counts] = {}
    areas: dict[str, list[float]] = {}
    whole = SourceOptions(annotated="whole")
    for number, folder in enumerate(arguments.folders):
        run = arguments.out / f"detect-{number}"
        train_or_resume(folder / "train", run, progress=True, on_message=print, annotated="whole")
        recordings = open_source(folder / "test", whole).recordings
        truth = levels_of(folder / "test")
        detectors = dict(detectors_of(run))
        if arguments.clips is not None:
            clips_run = arguments.out / f"clips-{number}"
            detectors |= detectors_of_clips(arguments.clips, folder, clips_run)
        for name, detector in detectors.items():
            counts, tracks = measure(detector, recordings, truth)
            totals[name] = totals.get(name, Counts()) + counts
            if arguments.psds:
                areas.setdefault(name, []).append(psds(tracks, detector.classes)["PSDS1"])
    print(align(HEADINGS, *COLUMNS))
    for name, counts in totals.items():
        area = f"{np.mean(areas[name]):.3f}" if name in areas else "-"
        print(align([name, *counts.row, area], *COLUMNS))


if __name__ == "__main__":
    main()
