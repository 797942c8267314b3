"""A detector: scores of a recording over time by one or several models, and the events in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sonotype.audio.decode import name_of
from sonotype.config import EventOptions, check, to_dict
from sonotype.core.detections import DetectedEvent, DetectedRecording, ScoreBlock
from sonotype.core.errors import AudioError, OptionsError, cause_of, is_memory_error
from sonotype.core.hierarchy import head_of_level
from sonotype.core.io import file_sha256
from sonotype.core.json_text import json_text
from sonotype.core.text import listed
from sonotype.core.types import DEFAULT_THRESHOLD, Head
from sonotype.core.version import __version__
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.event_finder import EventFinder
from sonotype.detect.frequency_range import with_frequencies
from sonotype.detect.score_sources import Source, frame_blocks, has_frame_heads, window_blocks
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.load import load, model_file
from sonotype.inference.locate import find_model
from sonotype.inference.recording import LiveSound
from sonotype.modelfile.detection import Detection

MAX_HOP = 1.0
"""Seconds: the default hop is never longer."""

OnBlock = Callable[[ScoreBlock], None]


class Step(NamedTuple):
    """What is known of a recording after the next scores.

    Attributes:
        block: the scores; ``None`` at the end.
        events: that no later score can change, and that were not in an earlier step.
        error: why the recording could not be read to its end, in the last step.
    """

    block: ScoreBlock | None
    events: list[DetectedEvent]
    error: str = ""


class Detector:
    """Detects events in recordings.

    Args:
        ensemble: the models; their scores are averaged.
        options: of the detection.
        digests: of the model files.

    Attributes:
        classes: that are detected.
        events: how to make events, for each class.
        from_frames: whether frames are scored, and not windows.
        hop: seconds from one window to the next, where windows are scored.
        scored: what is scored, and where the settings of the events are from, for messages.
        frequencies: whether the lowest and the highest frequency of each event are measured.
        highest: highest frequency of the input of the models in Hz.
        digest: of everything that the results depend on except the recording.

    Raises:
        OptionsError: unknown classes or levels, or an invalid threshold.
    """

    def __init__(
        self, ensemble: Ensemble, options: DetectOptions, digests: Sequence[str] = ()
    ) -> None:
        check(options)
        self.ensemble = ensemble
        first = ensemble.members[0]
        settings = first.card.detection
        chosen = options.level or ("" if settings is None else settings.head)
        head = head_of_level(ensemble.heads, chosen)
        if settings is not None and settings.head != head.name:
            settings = None
        seconds = ensemble.audio_spec.seconds
        self.from_frames = not options.hop and has_frame_heads(ensemble, head.name)
        if not self.from_frames and not options.hop:
            _require_equal_frames(ensemble, head.name)
        for_frames = settings is not None and bool(settings.frame_scales)
        if for_frames and not self.from_frames:
            settings = None
        tuned_hop = settings.hop if settings is not None else 0.0
        self.hop = options.hop or tuned_hop or default_hop(seconds)
        if self.hop > seconds and not self.from_frames:
            raise OptionsError(
                f"--hop is {self.hop:g} s, must be at most {seconds:g} s, the length of the "
                "model's windows: sounds between the windows would not be scored"
            )
        events = settings.events if settings is not None else window_events(head)
        self.head, self._columns = head, _columns(head, options.classes)
        self.classes = tuple(head.classes[index] for index in self._columns)
        limits = _thresholds(options.threshold, self.classes, head.classes)
        self.events = tuple(
            replace(events[index], threshold=limits[label]) if label in limits else events[index]
            for index, label in zip(self._columns, self.classes, strict=True)
        )
        what = f"windows of {seconds:g} s every {self.hop:g} s"
        if self.from_frames:
            what = f"frames of {first.engine.frame_seconds:.3g} s"
        source = "of --threshold"
        if len(limits) < len(self.classes):
            source = _source(settings, for_frames, len(ensemble.members))
            if limits:
                source += f", of --threshold for {len(limits)} of {len(self.classes)} classes"
        self.scored = f"scores of {what}; thresholds {source}"
        self.frequencies = options.frequencies
        self.highest = first.audio_spec.sample_rate / 2
        self.digest = _digest(digests, self)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The least score of an event, for each class."""
        return tuple(one.threshold for one in self.events)

    def score_blocks(self, source: Source) -> Iterator[ScoreBlock]:
        """Scores of the detected classes over time; of live sound as they come.

        Raises:
            AudioError: the recording cannot be read to its end; after the blocks before the error.
        """
        if self.from_frames:
            blocks = frame_blocks(self.ensemble, source)
        else:
            blocks = window_blocks(self.ensemble, source, self.hop, self.head.name)
        for block in blocks:
            yield ScoreBlock(block.times, block.scores[:, self._columns])

    def steps(self, source: Path | bytes | LiveSound) -> Iterator[Step]:
        """The blocks of scores and the events that each completes, and the events at the end.

        Each part is sorted by start, end and label, without frequencies. A recording that cannot
        be read ends there; any other error, such as a full memory, is raised.
        """
        finder, end, error = EventFinder(self.classes, self.events), 0.0, ""
        try:
            for block in self.score_blocks(source):
                end = float(block.times[-1])
                yield Step(block, finder.add(block))
        except (AudioError, OSError) as failure:
            if is_memory_error(failure):
                raise
            error = cause_of(failure)
        yield Step(None, within(finder.finish(), end), error)

    def detect(self, path: Path | bytes, *, on_block: OnBlock | None = None) -> DetectedRecording:
        """The events of a recording; of a damaged recording those before the error, and the error.

        Any other error, such as a full memory, is raised.

        Args:
            path: of the recording, or the bytes of its file.
            on_block: is called with each block of scores.
        """
        events: list[DetectedEvent] = []
        end, error = 0.0, ""
        for step in self.steps(path):
            events += step.events
            error = step.error
            if step.block is not None:
                end = float(step.block.times[-1])
                if on_block is not None:
                    on_block(step.block)
        found = tuple(within(sorted(events, key=_order), end))
        if self.frequencies:
            found = with_frequencies(path, found, self.highest)
        return DetectedRecording(Path(name_of(path)), end, found, self.highest, error)


def open_detector(
    models: Sequence[Path | None], options: DetectOptions | None = None, *, device: str = "auto"
) -> Detector:
    """A detector with the models in some files.

    Args:
        models: model files or run folders; ``None`` for the built-in model.
        options: of the detection.
        device: to run them on.

    Raises:
        ModelFileError: a file is no model.
        OptionsError: models with different labels, or invalid options.
    """
    paths = [None if model is None else find_model(model) for model in models]
    ensemble = Ensemble([load(path, device=device, tta_shifts=1) for path in paths])
    for member in ensemble.members:
        member.engine.prepare()
    digests = [file_sha256(model_file(path)) for path in paths]
    return Detector(ensemble, options or DetectOptions(), digests)


def default_hop(seconds: float) -> float:
    """Seconds from one window to the next: a quarter of a window, at most 1 s."""
    return min(seconds / 4, MAX_HOP)


def window_events(head: Head) -> tuple[EventOptions, ...]:
    """How to make events from windows, where it was not fitted: runs above the thresholds.

    The thresholds of a ``"single"`` head tell its classes apart in clips that have one. Most of a
    recording has none, so a class must have at least half of the probability.
    """
    least = DEFAULT_THRESHOLD if head.problem == "single" else 0.0
    return tuple(
        EventOptions(method="threshold", threshold=max(limit, least)) for limit in head.limits
    )


def within(events: Iterable[DetectedEvent], end: float) -> list[DetectedEvent]:
    """Events that end with the recording at the latest; events behind its end are left out."""
    return [replace(one, end=min(one.end, end)) for one in events if one.start < end]


def _require_equal_frames(ensemble: Ensemble, level: str) -> None:
    """Refuse models that all have frame heads, with frames of different lengths.

    Their windows could be averaged, but find start and end of events far less well.
    """
    if all(has_frame_heads(Ensemble([member]), level) for member in ensemble.members):
        lengths = {f"{member.engine.frame_seconds:.3g} s" for member in ensemble.members}
        raise OptionsError(
            f"--also: the frames of the models differ in length ({listed(sorted(lengths))}); leave "
            "out a model, or average windows with --hop"
        )


def _source(settings: Detection | None, for_frames: bool, models: int) -> str:
    """Where the settings of the events are from, after "thresholds"."""
    if settings is None:
        left_out = "; the tuned ones of the model file are for frames and are not used"
        return "of clips, not tuned" + (left_out if for_frames else "")
    if not settings.tuned:
        return "not tuned"
    return "of the model file" if models == 1 else "of the first model file"


def _columns(head: Head, classes: Sequence[str]) -> npt.NDArray[np.intp]:
    """The columns of some classes, in the order of the head; all where none is named."""
    if unknown := [name for name in classes if name not in head.index]:
        raise OptionsError(
            f"--class {listed(unknown)}: unknown class; the model has {listed(head.classes, 30)}"
        )
    chosen = sorted(head.index[name] for name in set(classes or head.classes))
    return np.array(chosen, dtype=np.intp)


def _thresholds(
    texts: Sequence[str], classes: Sequence[str], known: Sequence[str]
) -> dict[str, float]:
    """By class the threshold that was given; those of single classes count more than that of all.

    Args:
        texts: as the user gave them.
        classes: that are detected.
        known: all classes of the model.

    Raises:
        OptionsError: lists all invalid thresholds.
    """
    found: dict[str, float] = {}
    issues = []
    for text in sorted(texts, key=lambda text: "=" in text):
        label, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            issues.append(f"{text!r} is not a score from 0 to 1, or CLASS=SCORE")
        elif label and label not in known:
            issues.append(f"{text!r}: unknown class; the model has {listed(known, 30)}")
        elif label and label not in classes:
            issues.append(
                f"{text!r}: {label} is not detected, since --class chooses {listed(classes)}; add "
                f"--class {label}, or leave its threshold out"
            )
        found |= {label: value} if label else dict.fromkeys(classes, value)
    if issues:
        raise OptionsError("--threshold: " + "; ".join(issues))
    return found


def _digest(digests: Sequence[str], detector: Detector) -> str:
    facts = [
        __version__,
        list(digests),
        list(detector.classes),
        [to_dict(one) for one in detector.events],
        detector.from_frames,
        detector.hop,
        detector.head.name,
        detector.frequencies,
    ]
    return hashlib.sha256(json_text(facts).encode()).hexdigest()


def _order(event: DetectedEvent) -> tuple[float, float, str]:
    return event.start, event.end, event.label
