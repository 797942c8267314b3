"""Scores of every frame of a long recording, for any engine; without torch.

A frame is a row of the coarsest pooled map. It is computed as a window as long as a clip, with the
frame in its middle: the window moves by one row at a time, and spans of rows around the frame are
pooled instead of the whole window. Silence is added at both ends of the recording, so that the
first and the last frame have a window.

Row r of a map with strides of S frames in total is centred at frame r S, since every layer with a
stride is centred: frame k lasts from (k - 1/2) S to (k + 1/2) S.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic

import numpy as np
import numpy.typing as npt

from sonotype.sliding.layout import Layout, Pace, Section, Span
from sonotype.sliding.shared import Output_co, RowReduction, Samples, SharedWindows, WindowNetwork


class SharedFrames(Generic[Output_co]):
    """Frames of long recordings, from maps that they share.

    Args:
        layout: of chunks and windows.
        reductions: of the pooling.
        network: computes rows, and outputs from the totals of all spans.
        scales: frames of each span.
        threads: chunks to compute side by side.
        name: of the model file, for errors.
    """

    def __init__(
        self,
        layout: Layout,
        reductions: Sequence[RowReduction],
        network: WindowNetwork[Output_co],
        scales: Sequence[int],
        *,
        threads: int = 1,
        name: str | Path = "model",
    ) -> None:
        self.unit = layout.coarsest * layout.frame
        self.scales = tuple(scales)
        self.rows = rows_of_clip(layout)
        centre = (self.rows - 1) // 2
        spans = [Span(centre, scale) for scale in scales]
        self.before, self.after = centre, self.rows - centre
        self._windows = SharedWindows(
            layout, reductions, network, threads=threads, spans=spans, name=name
        )

    def outputs(
        self, pieces: Iterable[Samples] | Section, pace: Pace | None = None
    ) -> Iterator[tuple[int, Output_co]]:
        """The number of the first frame and the outputs, in order, many frames at a time.

        The last frames may lie behind the end of the recording.

        Args:
            pieces: consecutive pieces ``[samples]`` of the recording, at the system's sample rate;
                or a section.
            pace: of live sound.
        """
        if isinstance(pieces, Section):
            padded: Iterable[Samples] | Section = self._padded_section(pieces)
        else:
            padded = self._padded(pieces)
        return self._windows.outputs(padded, self.unit, pace)

    def _padded_section(self, section: Section) -> Section:
        silence = self.before * self.unit

        def read(start: int) -> Iterator[Samples]:
            if start < silence:
                yield np.zeros(silence - start, dtype=np.float32)
            yield from section.read(max(start - silence, 0))
            yield np.zeros(self.after * self.unit, dtype=np.float32)

        return Section(section.first, section.end, read)

    def _padded(self, pieces: Iterable[Samples]) -> Iterator[Samples]:
        yield np.zeros(self.before * self.unit, dtype=np.float32)
        yield from pieces
        yield np.zeros(self.after * self.unit, dtype=np.float32)


def rows_of_clip(layout: Layout) -> int:
    """Rows of the coarsest pooled map of a clip, as many as every pooled map has."""
    return min(
        count * stride // layout.coarsest
        for stride, count in zip(layout.strides, layout.counts, strict=True)
    )


def frame_bounds(first: int, count: int, seconds: float, end: float) -> npt.NDArray[np.float64]:
    """Boundaries ``[count + 1]`` of consecutive frames in seconds, inside the recording.

    Args:
        first: number of the first frame.
        count: number of frames.
        seconds: length of a frame.
        end: length of the recording in seconds.
    """
    return np.clip((first + np.arange(count + 1) - 0.5) * seconds, 0.0, end)
