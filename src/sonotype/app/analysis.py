"""Classify, explain and search an uploaded sound; the results are JSON values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sonotype.app.pictures import grey_png
from sonotype.app.tray import Detected, Sound
from sonotype.app.warm_up import IMPORTING
from sonotype.audio.clip import AudioSpec
from sonotype.audio.decode import load_audio
from sonotype.audio.pad import crop_offset
from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.errors import AudioError
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector
from sonotype.detect.frequency_range import with_frequencies
from sonotype.detect.writers.event_rows import rounded
from sonotype.detect.writers.event_tables import csv_header, csv_rows
from sonotype.detect.writers.label_files import has_label_file, label_file
from sonotype.inference.classifier import Classifier
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.prediction import Failure, Prediction
from sonotype.serve.answers import Values, event_values
from sonotype.serve.problems import ProblemError

FORMATS = ("audacity", "raven", "csv")
LEVELS_SPAN = 8.0
"""Of a log-mel, a natural logarithm, from black to white: about 35 dB."""
REMOVED = "the sound was removed"


@dataclass(frozen=True)
class Window:
    """Where the clip of a network lies in a recording.

    Attributes:
        start: in seconds; negative where silence is put before a short sound.
        end: in seconds.
    """

    start: float
    end: float


def window_of(spec: AudioSpec, seconds: float, start: float | None) -> Window:
    """The clip that a model takes of a sound, as :meth:`Classifier.predict` cuts and pads it.

    Where silence is trimmed first, the clip may lie elsewhere.

    Args:
        spec: of the clips.
        seconds: length of the sound.
        start: that the person chose; ``None`` for the clip that the model takes.
    """
    length = round(spec.seconds * spec.sample_rate)
    if start is None:
        surplus = round(seconds * spec.sample_rate) - length
        crop = "centre" if spec.crop == "random" else spec.crop
        start = crop_offset(max(surplus, 0), crop) / spec.sample_rate
    missing = length - round((seconds - start) * spec.sample_rate)
    if missing > 0 and spec.pad == "centre":
        start -= missing // 2 / spec.sample_rate
    return Window(start, start + spec.seconds)


def classify(classifier: Classifier, sound: Sound, start: float | None = None) -> Values:
    """The probabilities of the classes of all levels, the most probable first.

    Args:
        classifier: of the model.
        sound: to classify.
        start: of the clip in seconds; ``None`` for the clip that the model takes.

    Raises:
        AudioError: the sound cannot be read.
    """
    check_start(sound, start)
    window = window_of(classifier.audio_spec, sound.facts.seconds, start)
    if start is None:
        found = classifier.predict(sound.path)
    else:
        spec = classifier.audio_spec
        audio = load_audio(
            sound.path, sample_rate=spec.sample_rate, start=start, duration=spec.seconds,
            partial=True,
        )  # fmt: skip
        [one] = classifier.predict_clips([(sound.name, audio)])
        if isinstance(one, Failure):
            raise AudioError(sound.name, one.cause)
        found = one
    return {
        "start": rounded(max(window.start, 0.0)),
        "end": rounded(min(window.end, sound.facts.seconds)),
        "levels": [
            {"name": head.name, "labels": labels_of(found, head.name)} for head in found.heads
        ],
        "unknown": unknown_of(found),
    }


def labels_of(found: Prediction, level: str, most: int | None = None) -> list[Values]:
    """The classes of a level with their probabilities, the most probable first."""
    named = sorted(found.probabilities[level].items(), key=lambda entry: -entry[1])
    return [{"label": label, "probability": value} for label, value in named[:most]]


def unknown_of(found: Prediction) -> Values | None:
    """Whether a sound is probably of no class; ``None`` if the model cannot tell."""
    if found.unknown_score is None or found.unknown_threshold is None:
        return None
    return {"score": found.unknown_score, "is_unknown": found.is_unknown}


def explain(
    classifier: Classifier, sound: Sound, label: str = "", start: float | None = None
) -> Values:
    """Which parts of a clip a class depends on, as pictures for each branch.

    Args:
        classifier: of the model; not of ONNX.
        sound: to explain.
        label: the class; empty for the most probable one.
        start: of the clip, as in :func:`classify`.

    Raises:
        AudioError: the sound cannot be read.
        OptionsError: an ONNX model, an unknown class.
    """
    with IMPORTING:
        from sonotype.explain.explanation import explain as explanation_of
        from sonotype.report.media import data_uri, importance_uri

    check_start(sound, start)
    found = explanation_of(classifier, sound.path, label, start=start)
    window = window_of(classifier.audio_spec, sound.facts.seconds, start)
    branches = [
        {
            "name": branch.name,
            "seconds": branch.seconds,
            "start": rounded(window.start),
            "frequencies": [float(branch.band_frequencies[0]), float(branch.band_frequencies[-1])],
            "picture": importance_uri(branch.importance),
            "log_mel": data_uri("image/png", grey_png(branch.log_mel.T[::-1], LEVELS_SPAN)),
        }
        for branch in found.branches
    ]
    return {
        "label": found.label,
        "probability": found.probability,
        "kept_probability": found.kept_probability,
        "rest_probability": found.rest_probability,
        "method": found.method,
        "branches": branches,
    }


def detector_of(classifier: Classifier, threshold: float | None) -> Detector:
    """A detector of a model, with its own thresholds or with one for all classes."""
    texts = () if threshold is None else (str(threshold),)
    options = DetectOptions(threshold=texts, frequencies=False)
    return Detector(Ensemble([classifier.with_options(tta_shifts=1)]), options)


def detect(
    classifier: Classifier,
    name: str,
    sound: Sound,
    threshold: float | None,
    stop: Callable[[], bool],
) -> Iterator[Values]:
    """Find the events in a sound; lines as they are found.

    Args:
        classifier: that finds them.
        name: of the model, under which the sound remembers the events.
        sound: to search.
        threshold: least score; ``None`` for those of the model.
        stop: whether the client is gone, or the server ends.

    Yields:
        lines of the kinds ``progress``, ``event`` and a last ``end``, whose ``error`` says why the
        sound could not be read to its end.
    """
    detector = detector_of(classifier, threshold)
    total, seconds, error = sound.facts.seconds, 0.0, ""
    events: list[DetectedEvent] = []
    yield {"kind": "progress", "seconds": 0.0, "of": total}
    for step in detector.steps(sound.path):
        if stop():
            return
        if sound.removed.is_set():
            error = REMOVED
            break
        events += step.events
        error = step.error
        yield from ({"kind": "event", **values} for values in event_values(step.events))
        if step.block is not None:
            seconds = float(step.block.times[-1])
            yield {"kind": "progress", "seconds": rounded(min(seconds, total)), "of": total}
    ordered = tuple(sorted(events, key=lambda one: (one.start, one.end, one.label)))
    recording = DetectedRecording(Path(sound.name), seconds, ordered, detector.highest, error)
    if error != REMOVED:
        least = min(detector.thresholds, default=0.0)
        sound.keep_detection(name, Detected(recording, least, threshold))
    yield {"kind": "end", "events": len(events), "error": error}


def label_text(
    sound: Sound, model: str, label_format: str, threshold: float | None
) -> tuple[str, str]:
    """The label file of the last detection: its name and its text.

    Args:
        sound: that was searched.
        model: that found the events.
        label_format: of :data:`FORMATS`.
        threshold: least score of the events; ``None`` for all that were found.

    Raises:
        ProblemError: an unknown format; no detection that has all these events.
        AudioError: the sound cannot be read any more.
    """
    if label_format not in FORMATS:
        raise ProblemError("invalid-parameter", f"format must be one of {', '.join(FORMATS)}")
    detected = sound.detections.get(model)
    if detected is None or not has_label_file(detected.recording):
        raise ProblemError("not-possible", "Find the events first, then save the labels.")
    given, recording = detected.given, detected.recording
    if threshold is not None and threshold != given:
        if threshold < detected.least:
            detail = f"Find the events with the threshold {threshold:g} first."
            raise ProblemError("not-possible", detail)
        kept = tuple(one for one in recording.events if one.score >= threshold)
        recording = replace(recording, events=kept)
    found = with_frequencies(sound.path, recording.events, recording.highest)
    recording = replace(recording, events=found)
    stem = Path(sound.name).stem
    if label_format == "csv":
        return f"{stem}.csv", csv_header() + csv_rows(recording)
    suffix, text = label_file(recording, label_format)
    return f"{stem}{suffix}", _without_path(text) if label_format == "raven" else text


def _without_path(table: str) -> str:
    """A selection table without paths: it is not known where the person has the recording."""
    rows = [line.split("\t") for line in table.removesuffix("\n").split("\n")]
    column = rows[0].index("Begin Path")
    return "".join("\t".join(row[:column] + row[column + 1 :]) + "\n" for row in rows)


def check_start(sound: Sound, start: float | None) -> None:
    """Refuse a start outside of the sound with a ``ProblemError``."""
    if start is not None and not 0 <= start < sound.facts.seconds:
        detail = f"start must be from 0 to below {sound.facts.seconds:.3f} s, the sound's length"
        raise ProblemError("invalid-parameter", detail)
