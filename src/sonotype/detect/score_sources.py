"""Scores of recordings over time: of frames by frame heads, or of sliding windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sonotype.audio.buffer import window_start
from sonotype.audio.decode import Samples, name_of
from sonotype.core.detections import ScoreBlock
from sonotype.core.errors import AudioError
from sonotype.inference.classifier import Classifier
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.postprocess import NOT_FINITE
from sonotype.inference.prediction import Prediction
from sonotype.inference.recording import LiveSound, Passage, open_recording, source_for_each
from sonotype.inference.sliding_outputs import DeferredError
from sonotype.sliding.frames import frame_bounds
from sonotype.sliding.layout import Section

WINDOWS = 512
"""Windows in a block of scores."""

Floats = npt.NDArray[np.floating]
Source = Path | bytes | LiveSound | Passage
"""A recording, live sound, or some windows or frames of a recording."""


def has_frame_heads(ensemble: Ensemble, level: str) -> bool:
    """Whether all models have a frame head for this level of labels, with frames of one length."""
    settings = [member.card.detection for member in ensemble.members]
    if not all(one is not None and one.frame_scales and one.head == level for one in settings):
        return False
    lengths = {member.engine.frame_seconds for member in ensemble.members}
    return None not in lengths and len(lengths) == 1


def frame_blocks(ensemble: Ensemble, source: Source) -> Iterator[ScoreBlock]:
    """Mean scores of the frames of a recording; errors as for :func:`window_blocks`."""
    sources = source_for_each(source, len(ensemble.members))
    tracks = [_FrameTrack(*pair) for pair in zip(ensemble.members, sources, strict=True)]
    first = source.first if isinstance(source, Passage) else 0
    seconds = tracks[0].seconds
    for parts in _aligned([track.scores() for track in tracks]):
        scores = np.mean(parts, axis=0)
        if not np.isfinite(scores).all():
            raise AudioError(name_of_source(source), NOT_FINITE)
        times = frame_bounds(first, len(scores), seconds, tracks[0].end)
        first += len(scores)
        lasting = np.diff(times) > 0
        if lasting.any():
            yield ScoreBlock(np.append(times[:-1][lasting], times[-1]), scores[lasting])
    for track in tracks:
        track.raise_deferred()


class _FrameTrack:
    """The scores of one model, and the length of the recording as far as it is known."""

    def __init__(self, member: Classifier, source: Source) -> None:
        self._spec = member.audio_spec
        self._engine, self._source = member.engine, source
        self._samples, self._ended = 0, False
        self._error = DeferredError()
        self.seconds = float(member.engine.frame_seconds or 0.0)

    @property
    def end(self) -> float:
        """Length of the recording in seconds; infinite until it was read."""
        return self._samples / self._spec.sample_rate if self._ended else np.inf

    def scores(self) -> Iterator[Floats]:
        """``[frames, classes]``, many frames at a time."""
        sound = open_recording(self._source, None, self._spec.sample_rate)
        pieces: Iterator[Samples] | Section
        if isinstance(sound.pieces, Section):
            section = self._error.defer_section(sound.pieces)
            pieces = replace(section, read=partial(self._counted_from, section))
        else:
            pieces = self._counted(self._error.defer(sound.pieces))
        found = self._engine.frames(pieces, self._spec.length, sound.pace)
        for _, scores in found or ():
            yield scores

    def raise_deferred(self) -> None:
        """Raise the error that ended the recording early."""
        if self._error.deferred is not None:
            raise self._error.deferred

    def _counted_from(self, section: Section, start: int) -> Iterator[Samples]:
        self._samples = start
        return self._counted(section.read(start))

    def _counted(self, pieces: Iterator[Samples]) -> Iterator[Samples]:
        for piece in pieces:
            self._samples += len(piece)
            yield piece
        self._ended = True


def _aligned(tracks: Sequence[Iterator[Floats]]) -> Iterator[list[Floats]]:
    """Blocks of equal length from tracks whose blocks differ in length, to the shortest end."""
    kept: list[Floats | None] = [None] * len(tracks)
    while True:
        for index, track in enumerate(tracks):
            part = kept[index]
            if part is None or not len(part):
                kept[index] = next(track, None)
        parts = [part for part in kept if part is not None]
        if len(parts) < len(tracks):
            return
        count = min(map(len, parts))
        yield [part[:count] for part in parts]
        kept = [part[count:] for part in parts]


def window_blocks(
    ensemble: Ensemble, source: Source, hop: float, level: str
) -> Iterator[ScoreBlock]:
    """Mean scores of sliding windows, each for the time nearest to the middle of its window.

    The scores of a window that is probably of no class are reduced.

    Args:
        ensemble: the models.
        source: path of the recording, or some of its windows; or live sound, whose windows come
            one by one, each when the next one is known.
        hop: seconds from one window to the next.
        level: name of the head.

    Raises:
        AudioError: the recording cannot be read to its end, or an output is not finite; after the
            blocks before the error.
    """
    seconds = ensemble.audio_spec.seconds
    most = 1 if isinstance(source, LiveSound) else WINDOWS
    begin, total = 0.0, 0.0
    if isinstance(source, Passage):
        begin = _boundary(source.first, hop, ensemble)
    starts: list[float] = []
    scores: list[Floats] = []
    try:
        for window in ensemble.predict_windows(source, hop):
            total = window.file_seconds
            starts.append(window.start)
            scores.append(scores_of(window, level))
            if len(starts) > most:
                middle = (starts[-1] + starts[-2] + seconds) / 2
                yield _window_block(starts[:-1], scores[:-1], begin, middle, seconds)
                begin, starts, scores = middle, starts[-1:], scores[-1:]
    except AudioError:
        if starts:
            yield _window_block(starts, scores, begin, starts[-1] + seconds, seconds)
        raise
    if isinstance(source, LiveSound):
        total = source.seconds
    if isinstance(source, Passage) and source.end is not None:
        if starts:
            end = _boundary(source.end, hop, ensemble)
            yield _window_block(starts, scores, begin, end, seconds)
    elif starts and total > begin:
        yield block_of_windows(starts, scores, seconds, total, begin)


def _boundary(index: int, hop: float, ensemble: Ensemble) -> float:
    """The time between the middle of the window before and that of a window."""
    if index == 0:
        return 0.0
    rate = ensemble.members[0].audio_spec.sample_rate
    before, after = (window_start(np.array([index - 1, index]), hop * rate) / rate).tolist()
    return float((before + after + ensemble.audio_spec.seconds) / 2)


def block_of_windows(
    starts: Sequence[float],
    scores: Sequence[Floats],
    seconds: float,
    total: float,
    begin: float = 0.0,
) -> ScoreBlock:
    """The last windows of a recording, or all of them, as one block.

    Windows for which no time is left are not in it.

    Args:
        starts: of the windows, in seconds.
        scores: ``[classes]`` of each.
        seconds: length of a window.
        total: length of the recording.
        begin: time at which the block begins.
    """
    count = 1 + sum(start + seconds / 2 < total for start in starts[1:])
    return _window_block(starts[:count], scores[:count], begin, total, seconds)


def _window_block(
    starts: Sequence[float], scores: Sequence[Floats], begin: float, end: float, seconds: float
) -> ScoreBlock:
    times = window_times(np.array(starts), seconds, end)
    times[0] = begin
    lasting = np.diff(times) > 0
    return ScoreBlock(np.append(times[:-1][lasting], times[-1]), np.stack(scores)[lasting])


def name_of_source(source: Source) -> str:
    """The name of a source in messages and results."""
    return source.name if isinstance(source, LiveSound | Passage) else name_of(source)


def joined(blocks: Sequence[ScoreBlock]) -> ScoreBlock:
    """Consecutive blocks as one."""
    times = [blocks[0].times[:1], *(block.times[1:] for block in blocks)]
    return ScoreBlock(np.concatenate(times), np.concatenate([block.scores for block in blocks]))


def scores_of(window: Prediction, level: str) -> Floats:
    """The scores ``[classes]`` of a window.

    Where the unknown score is above its threshold, they are multiplied by a factor that falls from
    1 to 0 as the unknown score rises to 1.
    """
    scores = window.proba[level]
    unknown, limit = window.unknown_score, window.unknown_threshold
    if unknown is None or limit is None or unknown <= limit:
        return scores
    return np.asarray(scores * ((1 - unknown) / (1 - limit)))


def window_times(starts: Floats, seconds: float, total: float) -> npt.NDArray[np.float64]:
    """Boundaries ``[windows + 1]`` of the time for which each window's score stands.

    That is the time that is nearer to the middle of the window than to that of any other.

    Args:
        starts: ``[windows]`` in seconds.
        seconds: length of a window.
        total: length of the recording.
    """
    middles = starts + seconds / 2
    inner = (middles[1:] + middles[:-1]) / 2
    return np.concatenate([[0.0], np.minimum(inner, total), [total]])
