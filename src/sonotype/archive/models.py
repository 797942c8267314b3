"""The work on a row: open its sound, run the models, and give the rows of the result.

Each recording is processed by itself, so that its rows do not depend on the others of its unit, and
in the same way by all engines.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile

from sonotype.archive.remote import address_of, fetched, repeated, wav_blocks, wav_of
from sonotype.archive.schemas import embedding_table, event_table, prediction_table, score_table
from sonotype.archive.tasks import Piece, Row, Task, TaskSpec
from sonotype.audio.headers.wav import WavInfo
from sonotype.audio.stream import file_blocks
from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.errors import AudioError, OptionsError, cause_of
from sonotype.core.io import file_sha256
from sonotype.core.json_text import json_text
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector, open_detector
from sonotype.detect.frequency_range import GUARD, LONGEST, MARGIN, with_frequencies
from sonotype.inference.ensemble import Ensemble, load_ensemble
from sonotype.inference.load import model_file
from sonotype.inference.locate import find_model
from sonotype.inference.prediction import Prediction
from sonotype.inference.recording import Passage
from sonotype.inference.sliding_outputs import check_hop

WINDOWS = 2048
"""Most windows in a piece of a result."""

Item = TypeVar("Item")


def open_task(spec: TaskSpec) -> Task:
    """Open the models of a task.

    Raises:
        ModelFileError: a file is no model.
        OptionsError: invalid options.
    """
    if spec.verb == "detect":
        detection = DetectOptions(**spec.detection)
        return DetectTask(open_detector(spec.model_paths(), detection, device=spec.device), spec)
    paths = [None if path is None else find_model(path) for path in spec.model_paths()]
    options = dict(spec.model_options)
    if spec.verb == "embed":
        options["tta_shifts"] = 1  # an embedding is that of the clip without a shift
    ensemble = load_ensemble(paths, device=spec.device, **options)
    digests = [file_sha256(model_file(path)) for path in paths]
    return WindowTask(ensemble, spec, digests)


class WindowTask:
    """Predictions or embeddings, of windows or of one clip of each recording.

    Args:
        ensemble: the models.
        spec: what to do.
        digests: of the model files.
    """

    def __init__(self, ensemble: Ensemble, spec: TaskSpec, digests: list[str]) -> None:
        self._ensemble, self._spec = ensemble, spec
        self.window_seconds = ensemble.audio_spec.seconds
        hop = spec.hop
        if spec.verb == "embed" and hop is None:
            hop = self.window_seconds
        if hop is not None:
            check_hop(hop)
            for member in ensemble.members:
                member.engine.prepare()
        self.step = hop
        # The number of clips in a batch changes results by rounding only.
        self.digest = _digest([digests, hop, spec.exact, sorted(spec.model_options.items())])
        model = spec.model_paths()[0]
        self._facts = {
            "command": spec.verb,
            "model": "builtin" if model is None else str(Path(find_model(model)).absolute()),
            "model_sha256": digests[0],
            "window_seconds": self.window_seconds,
            "hop": hop,
            "folder": spec.folder,
        }

    def process(self, row: Row) -> Iterator[Piece]:
        """The rows of one recording, or of a segment of it."""
        seconds, error = row.duration or 0.0, ""
        try:
            with _opened(row, self._spec.retries) as source:
                for batch in _batches(self._predictions(source)):
                    last = batch[-1]
                    seconds = _covered(row, last.file_seconds)
                    error = last.truncated
                    yield Piece(self._table(row.path, batch))
        except Exception as failure:  # the result of the recording says what happened
            error = cause_of(failure)
        yield Piece(None, seconds, error)

    def _predictions(self, source: Path | bytes | Passage) -> Iterator[Prediction]:
        if self.step is not None:
            yield from self._ensemble.predict_windows(
                source, self.step, exact=self._spec.exact, batch_size=self._spec.batch_size
            )
        elif not isinstance(source, Passage):
            yield self._ensemble.predict(source)

    def _table(self, path: str, batch: list[Prediction]) -> object:
        if self._spec.verb == "embed":
            return embedding_table(path, batch, self._facts)
        return prediction_table(path, batch, windows=self.step is not None)


class DetectTask:
    """Events of whole recordings, scores of segments, and frequencies of events.

    Args:
        detector: finds events.
        spec: what to do.
    """

    def __init__(self, detector: Detector, spec: TaskSpec) -> None:
        self.detector, self._spec = detector, spec
        member = detector.ensemble.members[0]
        self.window_seconds = detector.ensemble.audio_spec.seconds
        frame = member.engine.frame_seconds if detector.from_frames else None
        self.step: float | None = detector.hop if frame is None else frame
        if frame is not None:
            self.window_seconds = frame
        self.digest = _digest([detector.digest])

    def process(self, row: Row) -> Iterator[Piece]:
        """The rows of one recording, or of a part of it."""
        try:
            if row.kind == "segment":
                yield from self._scores(row)
            elif row.kind == "frequencies":
                yield from self._frequencies(row)
            else:
                yield from self._events(row)
        except Exception as failure:  # the result of the recording says what happened
            yield Piece(None, 0.0, cause_of(failure))

    def _events(self, row: Row) -> Iterator[Piece]:
        with _opened(row, self._spec.retries) as source:
            if isinstance(source, Passage):
                raise OptionsError(f"{row.path}: a segment has no events")
            found = self.detector.detect(source)
        if found.events:
            yield Piece(event_table(row.path, found))
        yield Piece(None, found.seconds, found.error)

    def _scores(self, row: Row) -> Iterator[Piece]:
        seconds = 0.0
        with _opened(row, self._spec.retries) as source:
            for block in self.detector.score_blocks(source):
                seconds += float(block.times[-1] - block.times[0])
                yield Piece(score_table([block]))
        yield Piece(None, seconds)

    def _frequencies(self, row: Row) -> Iterator[Piece]:
        events = [DetectedEvent(*values) for values in row.events]
        measured = tuple(events)
        if self.detector.frequencies:
            try:
                measured = measure(row, events, self.detector.highest, self._spec.retries)
            except AudioError:  # as in with_frequencies: the events stay as they are
                measured = tuple(events)
        first, end = row.wanted
        found = DetectedRecording(Path(), 0.0, measured[first:end], self.detector.highest)
        if found.events:
            yield Piece(event_table(row.path, found))
        yield Piece(None)


def measure(
    row: Row, events: list[DetectedEvent], highest: float, retries: int
) -> tuple[DetectedEvent, ...]:
    """The events with frequencies; of a recording behind an address, only their part is read.

    Raises:
        AudioError: it cannot be read.
    """
    address = address_of(row.path)
    if address is None:
        return with_frequencies(Path(row.path), events, highest)
    wav = repeated(partial(wav_of, address), address, retries)
    if wav is None:
        with fetched(address, row.size, retries) as source:
            return with_frequencies(source, events, highest)
    begin, content = _part(address, wav, row, retries)
    shifted = [replace(one, start=one.start - begin, end=one.end - begin) for one in events]
    found = with_frequencies(content, shifted, highest)
    return tuple(
        replace(one, low=measured.low, high=measured.high)
        for one, measured in zip(events, found, strict=True)
    )


def _part(address: str, wav: WavInfo, row: Row, retries: int) -> tuple[float, bytes]:
    """The start in seconds, and a WAV file of the sound near the events of a row."""
    near = MARGIN + GUARD + 1.0
    chosen = row.events[slice(*row.wanted)]
    # Frames of a spectrogram begin at multiples of half a window, which divides a second at most.
    begin = max(int(min(event[0] for event in chosen) - near), 0)
    end = max(min(event[1], event[0] + LONGEST) for event in chosen) + near
    rate = wav.sample_rate
    wanted = round((end - begin) * rate)
    kept, count = [], 0
    for block in wav_blocks(address, wav, retries, begin * rate):
        kept.append(block[: wanted - count])
        count += len(kept[-1])
        if count >= wanted:
            break
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(kept), rate, format="WAV", subtype="FLOAT")
    return float(begin), file.getvalue()


@contextmanager
def _opened(row: Row, retries: int) -> Iterator[Path | bytes | Passage]:
    """The sound of a row."""
    address = address_of(row.path)
    if row.kind == "segment":
        read = partial(file_blocks, row.path)
        if address is not None:
            wav = repeated(partial(wav_of, address), address, retries)
            if wav is None:
                raise AudioError(address, "has other bytes than before")
            read = partial(wav_blocks, address, wav, retries)
        yield Passage(row.path, row.sample_rate, row.seconds, row.first, row.end, read)
    elif address is not None:
        with fetched(address, row.size, retries) as source:
            yield source
    else:
        yield Path(row.path)


def _covered(row: Row, file_seconds: float) -> float:
    """Seconds of sound of a row."""
    if row.duration is not None:
        return row.duration
    return max(file_seconds - row.offset, 0.0)


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Lists of items; those before an error are given first."""
    batch: list[Item] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == WINDOWS:
                yield batch
                batch = []
    except AudioError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _digest(facts: Sequence[object]) -> str:
    return hashlib.sha256(json_text(facts).encode()).hexdigest()
