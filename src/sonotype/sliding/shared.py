"""Windows of a long recording from shared maps, for any engine; without torch.

Sliding windows of 5 s every second compute every sound five times. Their maps have the same rows at
other places (:mod:`sonotype.sliding.chunk`), so the maps of a long chunk are computed once, and
:mod:`sonotype.sliding.reductions` pools any window of them in constant time. The outputs differ
slightly from those of a window that is cut out of the recording:

- **Ends of a window.** A clip has zeros around it at every convolution, and the small network's
  last frames have zeros after the clip; a window in a chunk has the sound of the recording there,
  as in a longer clip. At the ends of the recording both are the same.
- **Start of a window.** A map of stride S has a row every S frames of 10 ms, and a window takes as
  many rows as a clip has from the row nearest to its start: up to S / 2 frames off, 80 ms for a
  stride of 16, 160 ms for a stride of 32.
- **Squeezes and some adapters**, see :mod:`sonotype.sliding.chunk`.

An engine computes two steps: the rows of a chunk, and the outputs of windows from their totals.
Between them, the rows are kept from chunk to chunk for the length of a window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from sonotype.audio.buffer import SampleBuffer, window_start
from sonotype.core.errors import ModelFileError
from sonotype.core.prefetch import prefetch
from sonotype.models.operation import Operation
from sonotype.sliding.layout import Chunk, Layout, Pace, Section, Span
from sonotype.sliding.live_log_mels import LiveLogMels
from sonotype.sliding.reductions import Rows, windows_of

Samples = npt.NDArray[np.float32]
Output_co = TypeVar("Output_co", covariant=True)


@dataclass(frozen=True)
class RowReduction:
    """A reduction over the rows of one or several maps.

    Attributes:
        operation: how rows are combined.
        maps: indices of the maps.
    """

    operation: Operation
    maps: tuple[int, ...]


class WindowNetwork(Protocol[Output_co]):
    """The two steps of an engine."""

    def rows(self, waveform: Samples) -> Sequence[Rows]:
        """Rows of a chunk ``[samples]``, for each reduction and each of its maps."""
        ...

    def log_mels(self, waveform: Samples) -> Sequence[Samples]:
        """The log-mel ``[1, 1, frames, bands]`` of each branch, of any part of the sound."""
        ...

    def rows_of(self, log_mels: Sequence[Samples]) -> Sequence[Rows]:
        """Rows of the log-mels of a chunk."""
        ...

    def outputs(self, totals: Sequence[Rows]) -> Output_co:
        """Outputs of windows from the total ``[parts, windows, features]`` of each reduction."""
        ...


class SharedWindows(Generic[Output_co]):
    """Windows of long recordings, from maps that they share.

    Args:
        layout: of chunks and windows.
        reductions: of the pooling.
        network: computes rows and outputs; several threads may call ``rows`` at once.
        threads: chunks to compute side by side; 1 computes each when it is needed.
        spans: of each window, whose totals the network gets: those of the first span, then those
            of the next; ``None`` is the whole window.
        name: of the model file, for errors.
    """

    def __init__(
        self,
        layout: Layout,
        reductions: Sequence[RowReduction],
        network: WindowNetwork[Output_co],
        *,
        threads: int = 1,
        spans: Sequence[Span | None] = (None,),
        name: str | Path = "model",
    ) -> None:
        self.layout, self.reductions = layout, tuple(reductions)
        self.network, self.threads = network, threads
        self.spans, self.name = tuple(spans), name
        self._maps = [index for reduction in reductions for index in reduction.maps]

    def outputs(
        self, pieces: Iterable[Samples] | Section, hop: float, pace: Pace | None = None
    ) -> Iterator[tuple[int, Output_co]]:
        """The number of the first window and the outputs, in order, many windows at a time.

        The last window reaches the end of the recording or silence beyond it.

        Args:
            pieces: consecutive pieces ``[samples]`` of the recording, at the system's sample rate;
                or a section, whose chunks are those of the whole recording.
            hop: samples from window to window, at least 1; can be fractional.
            pace: of live sound: no chunk is then read before the outputs of the last are given.

        Raises:
            ModelFileError: the network does not give the rows that the layout names.
        """
        layout = self.layout if pace is None else self.layout.at_pace(pace)
        done, core, last = 0, 0, None
        if isinstance(pieces, Section):
            done, last = pieces.first, pieces.end
            core = layout.core_of(int(window_start(done, hop)))
        held = _HeldRows(self._maps, [core // self.layout.strides[index] for index in self._maps])
        threads = self.threads if pace is None else 1
        mels = None if pace is None else LiveLogMels(layout, self.network.log_mels)
        cut = self._cut(pieces, hop, layout, core)
        for complete, rows in self._computed(cut, threads, mels):
            held.add(rows)
            windows = complete if last is None else min(complete, last)
            if windows > done:
                yield done, self.network.outputs(self._totals(held, done, windows, hop))
                done = windows
            if done == last:
                return
            held.forget([int(first) for first in self.layout.first_rows(window_start(done, hop))])

    def _cut(
        self, pieces: Iterable[Samples] | Section, hop: float, layout: Layout, core: int
    ) -> Iterator[tuple[Chunk, Samples]]:
        """Chunks from a frame on and their sound ``[samples]``, until all windows are complete."""
        if isinstance(pieces, Section):
            origin = layout.origin(core, hop)
            sound, done = SampleBuffer(pieces.read(origin), origin), pieces.first
        else:
            sound, done = SampleBuffer(pieces), 0
        for chunk in layout.chunks(sound, hop, self.spans, core):
            if chunk.windows == done and chunk.end is None:
                return  # the rest is between two windows
            begin = chunk.first * layout.frame
            end = begin + chunk.grown * layout.frame + layout.samples
            yield chunk, sound.part(begin, end)
            done = chunk.windows
            kept = chunk.core + layout.step - layout.context
            sound.forget(kept * layout.frame - layout.samples)

    def _computed(
        self, chunks: Iterator[tuple[Chunk, Samples]], threads: int, mels: LiveLogMels | None
    ) -> Iterator[tuple[int, list[Rows]]]:
        """The windows that each chunk completes, and its rows without those of the context.

        Live sound has log-mels that are kept from chunk to chunk.
        """

        def compute(item: tuple[Chunk, Samples]) -> tuple[int, list[Rows]]:
            chunk, waveform = item
            strides = [self.layout.strides[index] for index in self._maps]
            if mels is None:
                found = self.network.rows(waveform)
            else:
                found = self.network.rows_of(mels.of_chunk(chunk, waveform))
            for index, part in zip(self._maps, found, strict=True):
                if part.shape[1] != self.layout.rows_in(chunk, index):
                    raise ModelFileError(f"{self.name}: the layout of windows does not fit its "
                                         "network; export the model again")  # fmt: skip
            rows = zip(found, strides, strict=True)
            return chunk.windows, [part[:, chunk.rows(stride)] for part, stride in rows]

        if threads == 1:
            return map(compute, chunks)
        return prefetch(compute, chunks, threads=threads)

    def _totals(self, held: _HeldRows, first: int, end: int, hop: float) -> list[Rows]:
        """The total of each span and reduction over windows ``first`` to ``end``."""
        starts = self.layout.first_rows(window_start(np.arange(first, end), hop))
        totals = []
        for span in self.spans:
            parts = iter(held.parts)
            for reduction in self.reductions:
                operation, pieces = reduction.operation, []
                for index in reduction.maps:
                    offset, count = self.layout.rows_of(span, index)
                    begin = starts[index] - held.firsts[index] + offset
                    pieces.append(windows_of(operation, next(parts), begin, count))
                totals.append(reduce(operation.combine, pieces))
        return totals


class _HeldRows:
    """Rows of each map of each reduction, from a first row of the map on.

    Args:
        maps: the index of the map of each part.
        firsts: the first row of each part.
    """

    def __init__(self, maps: Sequence[int], firsts: Sequence[int]) -> None:
        self.maps = tuple(maps)
        self.parts: list[Rows] = []
        self.firsts: dict[int, int] = dict(zip(self.maps, firsts, strict=True))

    def add(self, rows: list[Rows]) -> None:
        """Append rows ``[parts, time, features]``."""
        both = zip(self.parts, rows, strict=True)
        self.parts = [np.concatenate(pair, axis=1) for pair in both] if self.parts else rows

    def forget(self, needed: list[int]) -> None:
        """Drop the rows of each map before the next row that is needed."""
        dropped: dict[int, int] = {}
        for number, (index, part) in enumerate(zip(self.maps, self.parts, strict=True)):
            dropped[index] = min(max(needed[index] - self.firsts[index], 0), part.shape[1])
            self.parts[number] = part[:, dropped[index] :]
        for index, count in dropped.items():
            self.firsts[index] += count
