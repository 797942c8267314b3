"""Which sound a chunk of a long recording has, and which rows a window takes; without torch.

Chunks follow each other by whole strides. Each is computed with the sound on both sides that its
rows depend on, and the rows of that context are dropped; so the ends of chunks do not matter:

    frames     0 ............ end ............
    chunk 1    [ core       | context ]
    chunk 2          [context | core      | context ]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np

from sonotype.audio.buffer import Indices, SampleBuffer, window_count, window_start
from sonotype.audio.decode import Samples

FRONT_END_REACH = 3
"""Frames at a cut that differ from those of the whole recording: MobileNet's are centred and read
401 samples on each side, a hop and a quarter; decimation reads 95 samples of 32 kHz. Where zeros
follow the sound, they are in the last three frames, because a window of 400
samples spans 2.5 hops."""
LARGEST = 100_000
"""Most frames of a chunk in a file, 1,000 s: it bounds the memory of a file from outside."""
CROPPED = 100
"""Most frames by which the log-mel of a clip differs from the clip: VGGish crops to whole patches
of 96 frames, and the last frames are cropped or padded."""
PIECE = 500
"""Frames of a log-mel that are computed at once where a front end runs piece by piece: what lies
between its steps then fits the cache of a processor."""


@dataclass(frozen=True)
class Chunk:
    """A chunk of a recording, in frames.

    Attributes:
        first: the first frame of its sound.
        grown: how many frames it is longer than a clip.
        core: the first frame whose rows are kept.
        end: frame after the last one; ``None`` to keep all rows.
        windows: number of windows that this chunk and those before complete.
    """

    first: int
    grown: int
    core: int
    end: int | None
    windows: int

    def rows(self, stride: int) -> slice:
        """The rows of its core in a map with this many frames to a row."""
        end = None if self.end is None else (self.end - self.first) // stride
        return slice((self.core - self.first) // stride, end)


FRAMES_A_SECOND = 100


@dataclass(frozen=True)
class Pace:
    """How live sound is cut into chunks: short ones, with little sound behind them.

    Rows of a chunk depend on sound behind it. With less of it than :attr:`Layout.context` the
    scores come earlier, and differ the more from those of a whole recording, the less there is.

    Attributes:
        step: seconds from one chunk to the next; whole rows of the coarsest map, at least one.
        lookahead: seconds of sound behind a chunk, at most that of the layout.
    """

    step: float
    lookahead: float


@dataclass(frozen=True)
class Section:
    """Some consecutive windows, or frames, of a recording that can be read from any sample on.

    Attributes:
        first: index of the first one.
        end: index after the last one; ``None`` for all that follow.
        read: gives the pieces ``[samples]`` of the recording from a sample on.
    """

    first: int
    end: int | None
    read: Callable[[int], Iterator[Samples]]


class Span(NamedTuple):
    """Some of the rows of a window, in rows of the coarsest pooled map.

    Attributes:
        centre: the row in the middle.
        rows: number of rows, odd.
    """

    centre: int
    rows: int


@dataclass(frozen=True)
class Layout:
    """Sizes of windows, chunks and rows.

    Attributes:
        samples: of a window.
        frame: samples of a frame.
        mel_frames: frames of a clip that each branch takes.
        coarsest: the additional frames of a chunk are a multiple of it.
        context: frames of context on each side of a chunk, a multiple of ``coarsest``.
        step: frames of a chunk without its context, a multiple of ``coarsest``.
        strides: frames to a row of each pooled map.
        counts: rows of each pooled map of a clip.
        lookahead: frames of context behind a chunk; ``None`` for as many as before it.
    """

    samples: int
    frame: int
    mel_frames: tuple[int, ...]
    coarsest: int
    context: int
    step: int
    strides: tuple[int, ...]
    counts: tuple[int, ...]
    lookahead: int | None = None

    def at_pace(self, pace: Pace) -> Layout:
        """The layout of the chunks of live sound."""
        step = max(round(pace.step * FRAMES_A_SECOND / self.coarsest), 1) * self.coarsest
        wanted = max(round(pace.lookahead * FRAMES_A_SECOND), FRONT_END_REACH)
        return replace(self, step=step, lookahead=min(wanted, self.context))

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values, without those that are ``None``."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Layout:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError, TypeError: a value is missing or does not fit.
        """
        lists = ("mel_frames", "strides", "counts")
        found = cls(**values | {name: tuple(values[name]) for name in lists})  # type: ignore
        numbers: tuple[object, ...] = (found.samples, found.frame, found.coarsest, found.step)
        numbers += (*found.mel_frames, *found.strides, *found.counts)
        contexts = (found.context, found.lookahead or 0)
        if not all(type(one) is int and 0 < one < 2**53 for one in numbers):
            raise ValueError("sizes must be positive whole numbers")
        if not all(type(one) is int and one >= 0 for one in contexts):
            raise ValueError("contexts must be whole numbers")
        if not found.mel_frames or not found.strides or len(found.strides) != len(found.counts):
            raise ValueError("each map must have a stride and a count")
        if any(size % found.coarsest for size in (found.context, found.step)):
            raise ValueError("chunks must be multiples of the coarsest stride")
        if any(found.coarsest % stride for stride in found.strides):
            raise ValueError("the coarsest stride must be a multiple of each stride")
        if max(found.context, found.step) > LARGEST or max(contexts) > found.context:
            raise ValueError(f"chunks must have at most {LARGEST} frames, and no more lookahead "
                             "than context")  # fmt: skip
        frames = found.samples / found.frame
        if any(abs(frames - one) > CROPPED for one in found.mel_frames):
            raise ValueError("a window must have the frames of its log-mels")
        return found

    def rows_in(self, chunk: Chunk, index: int) -> int:
        """Rows of a map of a chunk, its context included."""
        return self.counts[index] + chunk.grown // self.strides[index]

    def chunks(
        self,
        sound: SampleBuffer,
        hop: float,
        spans: Sequence[Span | None] = (None,),
        core: int = 0,
    ) -> Iterator[Chunk]:
        """Chunks while there is sound for all of their context, then the last chunk.

        Args:
            sound: of the recording.
            hop: samples from window to window.
            spans: of each window that are needed, see :meth:`rows_of`.
            core: the first frame of the first chunk without its context, see :meth:`core_of`.
        """
        behind = self.context if self.lookahead is None else self.lookahead
        while True:
            end = core + self.step
            # A chunk is at least a clip: it begins earlier, so as not to wait for more sound.
            first = min(core - self.context, end + behind - min(self.mel_frames))
            first = max(first // self.coarsest * self.coarsest, 0)
            grown = whole(max(end + behind - min(self.mel_frames) - first, 0), self.coarsest)
            if not sound.reaches((first + grown) * self.frame + self.samples):
                break
            yield Chunk(first, grown, core, end, self._windows_before(end, hop, spans))
            core = end
        windows = window_count(sound.end, self.samples, hop)
        last = whole(-(-int(window_start(windows - 1, hop)) // self.frame), self.coarsest)
        first = max(min(core - self.context, last), 0)
        yield Chunk(first, last - first, core, None, windows)

    def core_of(self, start: int) -> int:
        """The first frame, without context, of the chunk with the first row of a window.

        Args:
            start: sample at which the window begins.
        """
        first = min(
            int(row) * stride
            for row, stride in zip(self.first_rows(start), self.strides, strict=True)
        )
        return first // self.step * self.step

    def origin(self, core: int, hop: float) -> int:
        """The first sample that is needed for chunks from this frame on.

        The last chunk of a recording may begin a window and a hop before its context.
        """
        before = self.context + self.coarsest + math.ceil((self.samples + hop) / self.frame)
        return max(core - before, 0) * self.frame

    def log_mels(
        self, front_ends: Callable[[Samples], Sequence[Samples]], waveform: Samples
    ) -> list[Samples]:
        """The log-mels of a chunk, computed piece by piece.

        Args:
            front_ends: from a waveform ``[1, samples]`` to the log-mel of each branch
                ``[1, 1, frames, bands]``.
            waveform: ``[samples]``.
        """
        total = -(-len(waveform) // self.frame)
        pieces = []
        for start in range(0, total, PIECE):
            first = max(start - FRONT_END_REACH, 0)
            end = start + PIECE + FRONT_END_REACH
            end = len(waveform) if end >= total else end * self.frame
            found = front_ends(waveform[None, first * self.frame : end])
            pieces.append([x[:, :, start - first :][:, :, :PIECE] for x in found])
        grown = (len(waveform) - self.samples) // self.frame
        branches = zip(zip(*pieces, strict=True), self.mel_frames, strict=True)
        return [np.concatenate(x, axis=2)[:, :, : frames + grown] for x, frames in branches]

    def first_rows(self, start: int | Indices) -> list[Indices]:
        """The row of each pooled map that is nearest to a sample where a window starts."""
        widths = [self.frame * stride for stride in self.strides]
        return [np.asarray((2 * start + width) // (2 * width)) for width in widths]

    def rows_of(self, span: Span | None, index: int) -> tuple[int, int]:
        """First row and number of rows of a span in a map; ``None`` for the whole window.

        A row is centred at its number times its stride, so that in a finer map, too, an odd number
        of rows is centred at the middle of the span.
        """
        if span is None:
            return 0, self.counts[index]
        fine = self.coarsest // self.strides[index]
        rows = rows_of_span(span.rows, fine)
        return span.centre * fine - rows // 2, rows

    def _windows_before(self, end: int, hop: float, spans: Sequence[Span | None]) -> int:
        """Number of windows that have all rows of their spans before a frame."""
        limit = min(
            self.frame * (end - stride * sum(self.rows_of(span, index)) + stride / 2)
            for index, stride in enumerate(self.strides)
            for span in spans
        )
        windows = max(math.ceil(limit / hop) - 1, 0)
        while window_start(windows, hop) < limit:
            windows += 1
        return windows


def rows_of_span(rows: int, fine: int) -> int:
    """Odd number of rows of a map in a span.

    Args:
        rows: of the span, in the coarsest map.
        fine: rows of the map in a row of the coarsest map, a power of 2.
    """
    return rows * fine - (fine > 1)


def whole(frames: int, coarsest: int) -> int:
    """Frames rounded up to a multiple of the coarsest stride."""
    return -(-frames // coarsest) * coarsest
